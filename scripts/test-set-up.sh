# What test.sh, chaos.sh and bench.sh do before they start containers of their own. Sourced by them.
# shellcheck shell=bash

. scripts/thresholds.sh
. scripts/lib.sh
. scripts/preflight.sh
. scripts/ensure-engine.sh
. scripts/env-file.sh
. scripts/images.sh

check_test_machine() {
  check_engine
  check_memory
  check_disk
}

# Images are built from the variables of an environment file; the tests' own, since there may be no .env.
provide_test_images() {
  check_compose
  rm -rf .dev/test
  mkdir -p .dev/test
  cp .env.example .dev/test
  (cd .dev/test && make_env_file >/dev/null)
  export COMPOSE_ENV_FILES=.dev/test/.env COMPOSE_FILE=docker-compose.yml:docker-compose.gateway.yml
  phase upstream provide_upstream_images
  phase images build_images
  unset COMPOSE_ENV_FILES COMPOSE_FILE
}
