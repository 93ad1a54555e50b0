# .env from .env.example, once. Sourced by up.sh.
# shellcheck shell=bash

random_hex() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }

host_ca_bundle() {
  local file
  for file in "${DAGMA_CA_BUNDLE:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -s "$file" ]; then
      printf '%s' "$file"
      return
    fi
  done
}

make_env_file() {
  local line value
  [ ! -f .env ] || return 0
  (
    umask 077  # it holds every password
    while IFS= read -r line; do
      # Each value is assigned before it is used: where a command inside an argument fails, the password would be empty.
      case $line in
        \#*) ;;
        *'=<random>')
          value=$(random_hex 24)
          line="${line%%=*}=$value"
          ;;
        *'=<random api key>')
          value=$(random_hex 24)
          line="${line%%=*}=sk-$value"
          ;;
        *'=<random fernet key>')
          value=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')
          line="${line%%=*}=$value"
          ;;
        *'=<host CA bundle>') line="${line%%=*}=$(host_ca_bundle)" ;;
        # What tells two stacks of a machine apart: said once, on the command line.
        COMPOSE_PROJECT_NAME=* | DAGSTER_PORT=* | LANGFLOW_PORT=*)
          value=$(setting "${line%%=*}" "${line#*=}")
          line="${line%%=*}=$value"
          ;;
      esac
      printf '%s\n' "$line"
    done <.env.example >.env.partial
    mv .env.partial .env
  )
  log "env: wrote .env with random secrets"
}
