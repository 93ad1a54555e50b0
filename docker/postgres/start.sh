#!/bin/bash
# Entry point of the service postgres, before the image's own. At each start, since a volume outlives networks and
# passwords, it writes pg_hba.conf for the networks that the container is on, and sets the roles' passwords and limits.
set -Eeuo pipefail

HBA_FILE=/var/run/postgresql/pg_hba.conf
PATIENCE_TRIES=20

# network_of ALIAS: the network on which this container has this name, as "address mask".
network_of() {
  local address="" try
  for ((try = 0; try < PATIENCE_TRIES; try++)); do
    address=$(getent ahostsv4 "$1" | awk 'NR == 1 {print $1}') || true
    [ -z "$address" ] || break
    sleep 0.5
  done
  [ -n "$address" ] || fail "this container has no name $1: docker-compose.yml gives it one on each of its networks"
  local a b c d wanted destination gateway mask
  IFS=. read -r a b c d <<<"$address"
  wanted=$((d << 24 | c << 16 | b << 8 | a))  # as the kernel writes it, last byte first
  while read -r _ destination gateway _ _ _ _ mask _; do
    [ "$gateway" = 00000000 ] && [ "$mask" != 00000000 ] || continue
    if [ $((wanted & 16#$mask)) = $((16#$destination)) ]; then
      printf '%s %s' "$(dotted $((16#$destination)))" "$(dotted $((16#$mask)))"
      return
    fi
  done < <(tail -n +2 /proc/net/route)
  fail "no network of this container holds $address"
}

dotted() { printf '%d.%d.%d.%d' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }

fail() {
  printf 'postgres: %s\n' "$1" >&2
  exit 1
}

# A role, its database and the network that it comes from; who is not listed here is not let in.
write_hba() {
  local control flows
  control=$(network_of postgres-control)
  flows=$(network_of postgres-flows)
  cat >"$HBA_FILE" <<HBA
local  all       postgres                        peer
host   langflow  langflow     $flows  scram-sha-256
host   dagster   dagster      $control  scram-sha-256
host   dagma     dagma        $control  scram-sha-256
host   dagma     dagma_owner  $control  scram-sha-256
host   tables    tables       $control  scram-sha-256
HBA
  # More of your own, such as a role for reports.
  if [ -f /etc/dagma/pg_hba.conf ]; then cat /etc/dagma/pg_hba.conf >>"$HBA_FILE"; fi
}

# The statements that give each role the password of its file, and the superuser none. In one line each.
password_statements() {
  local role variable password
  while read -r role variable; do
    password=$(<"/run/secrets/$variable")
    printf "ALTER ROLE %s PASSWORD '%s';\n" "$role" "${password//\'/\'\'}"
  done <<ROLES
dagster DAGSTER_PG_PASSWORD
langflow LANGFLOW_PG_PASSWORD
dagma DAGMA_PG_PASSWORD
dagma_owner DAGMA_PG_OWNER_PASSWORD
tables TABLES_PG_PASSWORD
ROLES
  echo "ALTER ROLE postgres PASSWORD NULL;"
}

# alone STATEMENTS: run them, one a line, before the server starts. No log has them.
alone() { postgres --single -D "$PGDATA" -c log_statement=none -c log_min_error_statement=panic postgres <<<"$1"; }

# A volume of an earlier version lacks the database of tables.
add_tables() {
  ! alone "SELECT datname FROM pg_database;" | grep -q '"tables"' || return 0
  alone "CREATE ROLE tables LOGIN;
CREATE DATABASE tables OWNER tables ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE tables FROM PUBLIC;" >/dev/null
}

# So that nobody is turned away with the new password.
set_passwords() {
  local statements
  statements=$(password_statements)
  alone "$statements" >/dev/null
}

# So that a volume of an earlier version has them, and a change of them counts.
set_limits() { alone "$(grep '^ALTER' /opt/dagma-postgres/limits.sql)" >/dev/null; }

write_hba
if [ -s "$PGDATA/PG_VERSION" ]; then
  add_tables
  set_passwords
  set_limits
else
  # The image's entry point asks for one, and init-databases.sh takes it away again.
  POSTGRES_PASSWORD=$(od -An -tx1 -N24 /dev/urandom | tr -d ' \n')
  export POSTGRES_PASSWORD
fi
exec docker-entrypoint.sh "$@"
