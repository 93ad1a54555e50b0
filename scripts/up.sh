#!/usr/bin/env bash
# Bring the stack up, from a bare machine or from any state between.
#
# Usage: make up [WORKERS=3] [YES=1]
# It touches: .env (written once, never changed), .secrets (written from it), .dev, project/data (made where it is
# missing), the images, containers, networks and volumes of the Compose project; where there is no Docker engine and this
# is root on Debian or Ubuntu, Docker's packages, after asking.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
mkdir -p .dev/logs

. scripts/thresholds.sh
. scripts/lib.sh
. scripts/preflight.sh
. scripts/ensure-engine.sh
. scripts/env-file.sh
. scripts/gateway.sh
. scripts/secrets.sh
. scripts/images.sh
. scripts/project.sh
. scripts/outbound.sh
. scripts/stack.sh
. scripts/last-up.sh

limit_runs
# Not inside the condition below, where a failure would not stop it.
if [ -f .env ] && [ -f "$LAST_UP" ]; then
  check_env_file
  write_secrets
fi
if all_but_the_project_is_up; then
  copy_project
  if [ "$COPY" != "$(running_copy)" ]; then
    phase check check_definitions
    use_copy
    phase project load_copy
  fi
else
  # Pre-flight. No impact yet.
  preflight

  # Let's go! Start impacting things.
  phase engine ensure_engine
  # Once more, where preflight had no engine to ask.
  check_engine
  check_owner
  check_gateway_stays
  check_env_file
  make_env_file
  write_secrets
  check_compose_file
  phase upstream provide_upstream_images
  phase images build_images
  copy_project
  phase check check_definitions
  check_gateway
  write_outbound
  phase stack start_stack
  forget_outbound
  refresh_gateway
fi
remember_this_up
forget_old_copies
show_stack
