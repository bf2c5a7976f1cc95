#!/usr/bin/env bash
# Makes the pictures of the page in the README, from the sample: docs/page.png, docs/page.ja.png. It needs Chromium and
# the program: docs/page.sh path/to/github-metrics
set -euo pipefail
program=$(realpath "${1:-target/release/github-metrics}")
docs=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
dir=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$dir"' EXIT

"$program" demo --no-serve --until 2026-11-28 --data-dir "$dir/demo"
"$program" serve --data-dir "$dir/demo" --listen 127.0.0.1:0 2>"$dir/log" &
server=$!
until address=$(grep -o '127\.0\.0\.1:[0-9]*' "$dir/log"); do sleep 0.1; done

for language in en ja; do
  name=page.png
  [[ $language == en ]] || name=page.$language.png
  chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1080 \
    --user-data-dir="$dir/chromium" --screenshot="$docs/$name" \
    "http://$address/orgs/octo-demo?since=2026-10-31&until=2026-11-28&lang=$language" 2>/dev/null
done
