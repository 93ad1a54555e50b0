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
  local line
  [ ! -f .env ] || return 0
  (
    umask 077  # it holds every password
    while IFS= read -r line; do
      case $line in
        \#*) printf '%s\n' "$line" ;;
        *'=<random>') printf '%s=%s\n' "${line%%=*}" "$(random_hex 24)" ;;
        *'=<random api key>') printf '%s=sk-%s\n' "${line%%=*}" "$(random_hex 24)" ;;
        *'=<random fernet key>') printf '%s=%s\n' "${line%%=*}" "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')" ;;
        *'=<host CA bundle>') printf '%s=%s\n' "${line%%=*}" "$(host_ca_bundle)" ;;
        *) printf '%s\n' "$line" ;;
      esac
    done <.env.example >.env.partial
    mv .env.partial .env
  )
  log "env: wrote .env with random secrets"
}
