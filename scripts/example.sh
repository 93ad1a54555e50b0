#!/usr/bin/env bash
# Run the example of project/defs/example: reviews are read, labelled by a flow, and counted. The stack is brought up first
# where it is down.
#
# Usage: make example
set -Eeuo pipefail
cd "$(dirname "$0")/.."

[ -n "$(docker compose ps --quiet --status running project-code 2>/dev/null </dev/null)" ] || scripts/up.sh

run=(--env LOGNAME="$(id -un)" user-code dagma run review_sentiments_job)
if [ -t 0 ] && [ -t 1 ]; then
  # With a terminal of its own, Ctrl-C reaches the command, which then says that the run goes on.
  docker compose exec "${run[@]}"
else
  docker compose exec -T "${run[@]}" </dev/null
fi
