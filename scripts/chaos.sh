#!/usr/bin/env bash
# Kill services at random moments of durable calls, on a stack of its own, and count what is lost and what is paid twice.
#
# Usage: make chaos [N=20] [SEED=NUMBER]
# It touches what `make test` touches, chromium apart. Its last line is
#   kills=… answered=… lost=… paid_twice=… slowest_seconds=…
# and it fails if anything was lost or paid twice.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
mkdir -p .dev/logs

. scripts/test-set-up.sh

# Pre-flight. No impact yet.
check_test_machine

# Let's go! Start impacting things.
trap stop_engine EXIT
phase engine ensure_engine
provide_test_images
log "set-up: $PHASES"

PYTHONPATH=tests .venv/bin/python -m chaos.random_kills --kills "${N:-20}" ${SEED:+--seed "$SEED"}
