#!/usr/bin/env bash
# Run the tests, from a bare machine or any other: unit, contract, stack, browser. The kills of tests/chaos take minutes
# each and are asked for: TESTS=tests/chaos, or make chaos.
#
# Usage: make test [TESTS="tests/stack -k 'schedule or cron'"]
# It touches: what `make up` touches, but under the project name dagma-test, with ports of its own, beside a running stack;
# and, as root on Debian or Ubuntu, the package chromium. Containers, volumes and an engine that it started are gone
# afterwards; images and packages stay.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
mkdir -p .dev/logs

. scripts/test-set-up.sh
. scripts/ensure-chromium.sh

# Pre-flight. No impact yet.
tests=${TESTS:-tests/unit tests/contract tests/stack tests/browser}
check_test_machine
case $tests in *browser*) check_chromium ;; esac

# Let's go! Start impacting things.
trap stop_engine EXIT
phase engine ensure_engine
case $tests in *browser*) phase chromium ensure_chromium ;; esac
case $tests in
  *browser* | *stack*)
    # The other tests can do without it.
    make .dev/oidc-provider/ready >.dev/logs/oidc-provider.log 2>&1 ||
      warn "npm could not install the login provider of the gateway's tests, so they will fail; read .dev/logs/oidc-provider.log"
    ;;
esac
provide_test_images
log "set-up: $PHASES"

# Several arguments in one variable; quotes keep one together, and nothing is expanded.
arguments=()
while IFS= read -r argument; do arguments+=("$argument"); done < <(xargs printf '%s\n' <<<"$tests")
# All of them mostly wait for containers: so they run in several processes, which share nothing but the machine.
lanes=$(($(memory_mib) / LANE_MEMORY_MIB))
[ "$lanes" -le "$MOST_LANES" ] || lanes=$MOST_LANES
if [ -z "${TESTS:-}" ] && [ "$lanes" -gt 1 ]; then
  arguments+=(--numprocesses "$lanes" --dist loadscope)
fi
.venv/bin/python -m pytest "${arguments[@]}"
