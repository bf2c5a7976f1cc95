#!/bin/sh
# Answers a GitHub issue: the smallest useful command for `github-metrics worker`.
#
#   export GITHUB_METRICS_TOKEN=...   a token with the role worker
#   export GH_TOKEN=...               a token of GitHub that may write issues, for `gh`
#   github-metrics worker --run docs/examples/answer-issue.sh --api https://metrics.example.com
#
# The issue is JSON on stdin. Everything printed goes to the log of the task. The last line of stdout becomes the result.
# Exit status 0 completes the task, another one fails it: after three failures no worker gets the issue.
# Needs jq, and gh (https://cli.github.com).
set -eu

issue=$(cat)
field() { printf '%s' "$issue" | jq --raw-output "$1"; }

repository=$(field '"\(.org)/\(.repo)"')
number=$(field .number)
echo "attempt ${GITHUB_METRICS_ATTEMPT:-1} at $repository#$number: $(field .title)"

# Replace this with what answers the issue: a script, a test run, a coding agent. The title and the body are what
# somebody wrote on GitHub: never run them as a command.
words=$(field .body | wc -w)
answer="Thank you. I have read the $words words of this issue."

# The marker finds the comment again, so that a repeated attempt does not comment twice.
marker="<!-- answered by claim of issue $number -->"
comments=$(gh api --paginate "repos/$repository/issues/$number/comments" --jq '.[].body')
case $comments in
    *"$marker"*) echo "it is answered already" ;;
    *) gh issue comment "$number" --repo "$repository" --body "$answer
$marker" ;;
esac
echo "https://github.com/$repository/issues/$number"
