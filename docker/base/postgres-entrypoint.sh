#!/bin/bash
# Entry point of the Postgres stand-in. On an empty data directory it makes the cluster as upstream's entry point does:
# POSTGRES_PASSWORD and POSTGRES_INITDB_ARGS, then every *.sh of /docker-entrypoint-initdb.d in order, against a server
# that listens on a socket only. Then it runs the server.
set -Eeuo pipefail

make_cluster() {
  local password_file
  password_file=$(mktemp)
  printf '%s\n' "${POSTGRES_PASSWORD:?POSTGRES_PASSWORD is empty: set it in the environment}" > "$password_file"
  # shellcheck disable=SC2086  # several arguments in one variable, as upstream takes them
  initdb --username=postgres --pwfile="$password_file" ${POSTGRES_INITDB_ARGS:-}
  rm -f "$password_file"
  printf "\nlisten_addresses = '*'\n" >> "$PGDATA/postgresql.conf"
  printf '\nhost all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
}

run_init_files() {
  local file
  shopt -s nullglob
  for file in /docker-entrypoint-initdb.d/*.sh; do
    echo "running $file"
    bash "$file"
  done
}

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  make_cluster
  pg_ctl start --wait --silent --options="-c listen_addresses=''"
  run_init_files
  pg_ctl stop --wait --silent --mode=fast
fi

exec "$@"
