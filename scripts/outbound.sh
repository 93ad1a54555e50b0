# The way out that DAGMA_OUTBOUND opens for workers: docker-compose.outbound.yml, and a door for each host. Sourced by
# up.sh and by the Makefile.
# It touches: .dev/outbound.yml, which is there where the setting is.
# shellcheck shell=bash

OUTBOUND=.dev/outbound.yml

# read_outbound: have every `docker compose` of this shell read the file, where it is, after those that it reads anyway.
read_outbound() {
  local files
  files=$(compose_files)
  files=${files%":$OUTBOUND"}
  if [ -f "$OUTBOUND" ]; then
    export COMPOSE_FILE=$files:$OUTBOUND
  elif [ -n "${COMPOSE_FILE:-}" ]; then
    export COMPOSE_FILE=$files
  fi
}
read_outbound

# write_outbound: make the file what the setting says, which has been checked. Where there are PROBLEMS, no way is open.
write_outbound() {
  local host hosts=""
  [ -n "$PROBLEMS" ] || hosts=$(dotenv DAGMA_OUTBOUND | tr 'A-Z,' 'a-z\n' | sed 's/[[:space:]]//g; s/:.*//' | sort -u)
  if [ -z "$hosts" ]; then
    [ ! -f "$OUTBOUND" ] || CLOSED=1
    rm -f "$OUTBOUND"
  else
    {
      cat docker-compose.outbound.yml
      for host in $hosts; do
        printf '\n  outbound-%s:\n    <<: *door\n    networks:\n      control: {aliases: [%s]}\n      doors:\n' "$host" "$host"
        printf '    command: [python, -m, dagma.execution.outbound, door, %s]\n' "$host"
      done
    } >"$OUTBOUND"
  fi
  read_outbound
}

# forget_outbound: remove the networks of a way out that this `make up` has closed. Its containers are gone by now.
CLOSED=""
forget_outbound() {
  [ -z "$CLOSED" ] || docker network rm "$(setting COMPOSE_PROJECT_NAME dagma)"_{doors,outbound} >/dev/null 2>&1 || true
}
