#!/usr/bin/env bash
# Kill services at random moments of durable calls, or of a table, on a stack of its own, and count what is lost and what
# is paid twice.
#
# Usage: make chaos [N=20] [SEED=NUMBER] [OF=tables]
# It touches what `make test` touches, chromium apart. Its last line is
#   kills=… answered=… lost=… paid_twice=… slowest_seconds=…
# or, for a table,
#   kills=… rows=… answered=… paid_twice=… lost=… llm_answers=…
# and it fails if anything was lost or paid twice.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
mkdir -p .dev/logs

. scripts/test-set-up.sh

# Pre-flight. No impact yet.
case ${OF:-calls} in
  calls) module=chaos.random_kills ;;
  tables) module=chaos.table_kills ;;
  *) die "OF is $OF" "set it to calls or tables" ;;
esac
check_test_machine

# Let's go! Start impacting things.
trap stop_engine EXIT
phase engine ensure_engine
provide_test_images
log "set-up: $PHASES"

PYTHONPATH=tests .venv/bin/python -m "$module" --kills "${N:-20}" ${SEED:+--seed "$SEED"}
