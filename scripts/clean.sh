#!/usr/bin/env bash
# Delete the stack's containers, networks and volumes: every run, flow, credential and ledger row.
#
# Usage: make clean [YES=1]
# It never touches: images, .env, flows/.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
# The gateway's too, whether it is on or not.
export GATEWAY=1
. scripts/gateway.sh
. scripts/outbound.sh
if [ "${YES:-}" != 1 ] && { [ ! -t 0 ] || [ ! -t 1 ]; }; then die "clean deletes data, and there is no terminal to ask on" "make clean YES=1"; fi
agree "Delete every run, flow, credential and ledger row of $(setting COMPOSE_PROJECT_NAME dagma)?" || die "nothing deleted" ""
docker compose down --volumes --remove-orphans
