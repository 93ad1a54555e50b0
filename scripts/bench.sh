#!/usr/bin/env bash
# Measure what a call, a launch and the gateway cost, side by side with the plainest way, on containers of its own.
#
# Usage: make bench [OF="gateway launches overhead throughput batches"]
# It touches what `make test` touches, chromium apart. It ends with one line per figure: name value unit target.
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

# shellcheck disable=SC2086  # one argument a word
PYTHONPATH=tests .venv/bin/python -m bench.run ${OF:-}
