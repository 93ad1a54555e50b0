#!/usr/bin/env bash
# Ask a flow a question through Dagster and print the answer.
#
# Usage: make ask Q="What is the capital of France?" [FLOW=echo]
# More, such as a question in a file: docker compose exec -T user-code dagma ask --help
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

[ -n "${Q:-}" ] || die "no question" 'make ask Q="What is the capital of France?"'
[ -n "$(docker compose ps --quiet --status running user-code 2>/dev/null </dev/null)" ] || die "the stack is not up" "make up"

ask=(--env LOGNAME="$(id -un)" user-code dagma ask)
[ -z "${FLOW:-}" ] || ask+=(--flow "$FLOW")

if [ -t 0 ] && [ -t 1 ]; then
  # With a terminal of its own, Ctrl-C reaches the command, which then says that the run goes on.
  docker compose exec "${ask[@]}" -- "$Q"
else
  docker compose exec -T "${ask[@]}" -- "$Q" </dev/null
fi
