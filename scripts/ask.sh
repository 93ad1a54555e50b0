#!/usr/bin/env bash
# Ask a flow a question through Dagster and print the answer.
#
# Usage: make ask Q="What is the capital of France?" [FLOW=echo]
#        make ask FILE=question.txt
#        make ask Q=- <question.txt
# More: docker compose exec user-code dagma ask --help
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

if [ -n "${FILE:-}" ]; then
  [ -z "${Q:-}" ] || die "there are two questions: Q and FILE" "give one of them"
  [ -f "$FILE" ] || die "there is no file $FILE" "name a file: make ask FILE=question.txt"
  [ -r "$FILE" ] || die "$FILE can't be read" "name a file that you may read"
elif [ -z "${Q:-}" ]; then
  die "no question" 'make ask Q="What is the capital of France?", or make ask FILE=question.txt'
fi
[ -n "$(docker compose ps --quiet --status running user-code 2>/dev/null </dev/null)" ] || die "the stack is not up" "make up"

ask=(--env LOGNAME="$(id -un)" user-code dagma ask)
[ -z "${FLOW:-}" ] || ask+=(--flow "$FLOW")

if [ -n "${FILE:-}" ]; then
  docker compose exec -T "${ask[@]}" - <"$FILE"
elif [ "$Q" = - ]; then
  docker compose exec -T "${ask[@]}" -
elif [ -t 0 ] && [ -t 1 ]; then
  # With a terminal of its own, Ctrl-C reaches the command, which then says that the run goes on.
  docker compose exec "${ask[@]}" -- "$Q"
else
  docker compose exec -T "${ask[@]}" -- "$Q" </dev/null
fi
