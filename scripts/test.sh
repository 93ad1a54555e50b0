#!/usr/bin/env bash
# Run every test, from a bare machine or any other: unit, contract, stack, browser, chaos.
#
# Usage: make test [TESTS="tests/stack -k schedule"]
# It touches: what `make up` touches, but under the project name dagma-test, with ports of its own, beside a running stack;
# and, as root on Debian or Ubuntu, the package chromium. Containers, volumes and an engine that it started are gone
# afterwards; images and packages stay.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
mkdir -p .dev/logs

. scripts/thresholds.sh
. scripts/lib.sh
. scripts/preflight.sh
. scripts/ensure-engine.sh
. scripts/ensure-chromium.sh
. scripts/env-file.sh
. scripts/images.sh

# Images are built from the variables of an environment file; the tests' own, since there may be no .env.
make_test_env_file() {
  rm -rf .dev/test
  mkdir -p .dev/test
  cp .env.example .dev/test
  (cd .dev/test && make_env_file >/dev/null)
  export COMPOSE_ENV_FILES=.dev/test/.env
}

# Pre-flight. No impact yet.
check_engine
check_memory
check_disk

# Let's go! Start impacting things.
trap stop_engine EXIT
phase engine ensure_engine
check_compose
phase chromium ensure_chromium
make_test_env_file
phase upstream provide_upstream_images
phase images build_images
unset COMPOSE_ENV_FILES
log "set-up: $PHASES"

# shellcheck disable=SC2086  # several arguments in one variable
.venv/bin/python -m pytest ${TESTS:-tests}
