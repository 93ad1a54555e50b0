# What the last `make up` ended with, so that this one does only what has changed since. Sourced by up.sh.
# It touches: .dev/last-up, whose lines are a digest of everything but the project, and the project's copy that runs.
# shellcheck shell=bash

LAST_UP=.dev/last-up

# What containers are made of, the project's own files apart, and which containers run.
digest_stack() {
  {
    docker compose config
    find .env "$(setting DAGMA_SECRETS_DIR .secrets)" docker dagster_home flows src docker-compose.yml \
      docker-compose.{gateway,outbound}.yml pyproject.toml README.md project/requirements.txt \
      "$(setting DAGMA_CA_BUNDLE /dev/null)" -type f ! -path '*/__pycache__/*' -exec cksum {} + | LC_ALL=C sort
    docker compose ps --quiet | sort
  } 2>/dev/null | digest
}

# all_but_the_project_is_up: every container runs, and is what it would be made anew. Needs what write_secrets has written.
all_but_the_project_is_up() {
  [ -f .env ] && [ -f "$LAST_UP" ] || return 1
  [ "$(head -n 1 "$LAST_UP")" = "$(digest_stack)" ] && [ -z "$(unready)" ]
}

# The copy that runs: what is left of a `make up` that did not end says nothing of it.
running_copy() { tail -n 1 "$LAST_UP" 2>/dev/null || true; }

remember_this_up() { printf '%s\n%s\n' "$(digest_stack)" "$COPY" >"$LAST_UP"; }
