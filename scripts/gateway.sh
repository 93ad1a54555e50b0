# The gateway in front of both UIs, where GATEWAY=1 asks for it (docs/gateway.md). Sourced by up.sh and the
# Makefile, before outbound.sh.
# It touches: .dev/gateway-authority.pem, which browsers are told to trust.
# shellcheck shell=bash

GATEWAY_AUTHORITY=.dev/gateway-authority.pem

gateway_is_on() {
  local value
  value=$(setting GATEWAY '') || exit 1
  case $value in
    1) return 0 ;;
    '' | 0) return 1 ;;
    *) die "GATEWAY is \"$value\"" "set it to 1 or 0, or leave it empty" ;;
  esac
}

# use_gateway: have docker compose lay docker-compose.gateway.yml over the stack, whose links then lead to the gateway.
use_gateway() {
  local files
  gateway_is_on || return 0
  files=$(compose_files)
  case :$files: in
    *:docker-compose.gateway.yml:*) ;;
    *) export COMPOSE_FILE=$files:docker-compose.gateway.yml ;;
  esac
  DAGSTER_PUBLIC_URL=$(gateway_address GATEWAY_PORT 8443)
  LANGFLOW_PUBLIC_URL=$(gateway_address GATEWAY_LANGFLOW_PORT 8444)
  export DAGSTER_PUBLIC_URL LANGFLOW_PUBLIC_URL
}

# gateway_address NAME DEFAULT: what people type, without the port that browsers leave out.
gateway_address() {
  local port
  port=$(setting "$1" "$2")
  if [ "$port" = 443 ]; then port=""; else port=:$port; fi
  printf 'https://%s%s' "$(setting GATEWAY_HOST localhost)" "$port"
}

use_gateway

# check_gateway_stays: a gateway that runs is taken away where GATEWAY=0 says so, and not where somebody forgot GATEWAY=1.
check_gateway_stays() {
  local running
  [ -z "$(setting GATEWAY '')" ] || return 0
  running=$(docker ps --quiet --filter "label=com.docker.compose.project=$(setting COMPOSE_PROJECT_NAME dagma)" \
    --filter label=com.docker.compose.service=gateway)
  [ -z "$running" ] || die "the gateway runs, and GATEWAY is not set: without it, both UIs would be open on 127.0.0.1 again" \
    "set GATEWAY=1 in .env to keep it, or GATEWAY=0 to take it away; then: make up"
}

# check_gateway: read its settings in the new image, before anything is replaced.
check_gateway() {
  gateway_is_on || return 0
  local said
  said=$(docker compose run --rm --no-deps -T gateway check 2>.dev/logs/gateway.log) && return 0
  said=$(grep -v -e '^ *Container ' -e '^ *Network ' -e '^ *Volume ' .dev/logs/gateway.log | sed 's/^/  /') || true
  die "the gateway can't use these settings; nothing was changed:
$said" "correct them in .env, then: make up. What ran goes on as it was"
}

# refresh_gateway: have it read a certificate that was renewed, and keep its authority's where browsers are told to find it.
refresh_gateway() {
  gateway_is_on || return 0
  docker compose exec -T gateway python3 /opt/gateway/start.py reload >>.dev/logs/gateway.log 2>&1 ||
    die "the gateway did not read its certificate again" "read .dev/logs/gateway.log; then: make up"
  rm -f "$GATEWAY_AUTHORITY"
  [ -z "$(setting GATEWAY_TLS_CERT '')" ] || return 0
  if [ -n "$(setting GATEWAY_ACME '')" ]; then
    docker compose exec -T gateway python3 /opt/gateway/start.py certified >>.dev/logs/gateway.log 2>&1 ||
      warn "the ACME authority has signed no certificate yet, and browsers say so; why: make logs s=gateway"
    return
  fi
  docker compose exec -T gateway cat /var/lib/gateway/authority.pem >"$GATEWAY_AUTHORITY"
}

# who_may_log_in: for the last screen.
who_may_log_in() {
  local login role
  login=$(setting GATEWAY_OIDC_ISSUER '')
  [ -n "$login" ] || login="users of $(setting GATEWAY_USERS_FILE gateway-users)"
  printf '  Login     %s\n' "$login"
  for role in ADMINS EDITORS VIEWERS; do
    printf '            %-8s  %s\n' "$(tr '[:upper:]' '[:lower:]' <<<"$role")" "$(setting "GATEWAY_$role" nobody)"
  done
  [ ! -s "$GATEWAY_AUTHORITY" ] || printf '  Trust     %s, in browsers and by curl --cacert\n' "$GATEWAY_AUTHORITY"
}
