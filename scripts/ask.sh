#!/usr/bin/env bash
# Ask the default flow a question through Dagster and print the answer.
#
# Usage: make ask Q="What is the capital of France?"
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
[ -n "${Q:-}" ] || die "no question" 'make ask Q="What is the capital of France?"'
docker compose exec -T user-code dagma ask "$Q"
