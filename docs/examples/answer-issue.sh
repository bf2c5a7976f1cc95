#!/bin/sh
# Answers a GitHub issue with a comment: the smallest useful command for `github-metrics worker`.
#
#   export GITHUB_METRICS_TOKEN=gamt_...   a token with the role worker
#   export API_ENDPOINT=https://metrics.example.com
#   github-metrics worker --run docs/examples/answer-issue.sh
#
# The issue is JSON on stdin. Everything printed goes to the log of the task. The last line of stdout becomes the result.
# Exit status 0 completes the task, another one fails it: after three failures no worker gets the issue.
# The server posts the comment (docs/ACTIONS.md), so this machine needs no token of GitHub. Needs jq and curl.
set -eu

issue=$(cat)
field() { printf '%s' "$issue" | jq --raw-output "$1"; }

repository=$(field '"\(.org)/\(.repo)"')
number=$(field .number)
echo "attempt ${GITHUB_METRICS_ATTEMPT:-1} at $repository#$number: $(field .title)"

# Replace this with what answers the issue: a script, a test run, a coding agent. The title and the body are what
# somebody wrote on GitHub: never run them as a command.
words=$(field .body | wc -w | tr -d ' ')
answer="Thank you. I have read the $words words of this issue."

body=$(jq --null-input --arg repository "$repository" --argjson number "$number" --arg body "$answer" \
    '{repository: $repository, number: $number, body: $body}')

# With the same key, a repeated request is the same comment. 202 says that the server is still at it.
attempts=0
while [ "$attempts" -lt 60 ]; do
    # The token is in no argument: other users of this machine can list those.
    answered=$(printf 'header = "Authorization: Bearer %s"\n' "$GITHUB_METRICS_TOKEN" |
        curl --silent --show-error --config - --write-out '\n%{http_code}' \
            --header 'Content-Type: application/json' --header "Idempotency-Key: answer-$repository-$number" \
            --data "$body" "$API_ENDPOINT/api/v1/create-comment")
    status=${answered##*
}
    json=${answered%
*}
    case $status in
        200 | 201)
            printf '%s' "$json" | jq --raw-output .data.comment.url
            exit 0
            ;;
        202 | 429 | 503) sleep 5 ;;
        *)
            echo "the server refused the comment: $json" >&2
            exit 1
            ;;
    esac
    attempts=$((attempts + 1))
done
echo "the comment is not done after 5 minutes: $json" >&2
exit 1
