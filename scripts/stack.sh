# Start the containers, wait until each is healthy, and show what runs. Sourced by up.sh.
# shellcheck shell=bash

# The run queue holds back what the workers have no slot for.
limit_runs() {
  check_whole_number WORKERS 1
  check_whole_number WORKER_CONCURRENCY 2
  DAGMA_MAX_CONCURRENT_RUNS=$(($(setting WORKERS 1) * $(setting WORKER_CONCURRENCY 2)))
  export DAGMA_MAX_CONCURRENT_RUNS
}

start_stack() {
  local running
  running=$(docker compose ps --quiet --status running project-code worker)
  use_copy
  if [ -n "$PROBLEMS" ]; then
    start_red
    return
  fi
  restart_red_code
  if ! docker compose up --detach --no-build --remove-orphans >.dev/logs/up.log 2>&1; then
    tail -n 20 .dev/logs/up.log >&2
    explain_unready
  fi
  wait_for_services
  if [ -n "$running" ] && [ "$COPY" != "$(running_copy)" ]; then load_copy; fi
}

# A one-shot that has ended with a failure, among the lines of `unready`.
HAS_FAILED=' exited Exited ([1-9]'

wait_for_services() {
  local waiting deadline=$((SECONDS + START_SECONDS))
  while waiting=$(unready) && [ -n "$waiting" ]; do
    [ "$SECONDS" -lt "$deadline" ] || explain_unready
    # A one-shot that has ended with a failure is not started again, and waiting is no use.
    if grep -q "$HAS_FAILED" <<<"$waiting"; then explain_unready; fi
    sleep 1
  done
}

# restart_red_code: a code server whose definitions did not load does not try others by itself.
restart_red_code() {
  local service red
  for service in project-code user-code; do
    red=$(docker ps --quiet --filter "label=com.docker.compose.project=$(setting COMPOSE_PROJECT_NAME dagma)" \
      --filter "label=com.docker.compose.service=$service" --filter health=unhealthy --filter health=starting)
    [ -z "$red" ] || docker restart "$red" >/dev/null
  done
}

# start_red: start what can run although definitions don't load: the UI first of all, which shows them as red.
start_red() {
  local deadline=$((SECONDS + START_SECONDS))
  docker compose up --detach --no-build --remove-orphans dagster-webserver dagster-daemon >.dev/logs/up.log 2>&1 || explain_unready
  # Not all of the others get there: one that reads the setting that is wrong stops.
  docker compose up --detach --no-build --remove-orphans >>.dev/logs/up.log 2>&1 || true
  while unready | grep -q '^dagster-'; do
    [ "$SECONDS" -lt "$deadline" ] || explain_unready
    sleep 1
  done
  die "Dagster is up at $(dagster_address), and some of its code locations are red:
$PROBLEMS" "correct them in .env or project/, then: make up"
}

dagster_address() { setting DAGSTER_PUBLIC_URL "http://127.0.0.1:$(setting DAGSTER_PORT 3000)"; }

# The services that are neither healthy nor a one-shot that ended well, one a line: "service state status". One of
# docker-compose.override.yml may have no health check. Asked every second, so not by `docker compose ps`, which takes seven
# times the CPU, and the services need it to start.
unready() {
  docker ps --all --filter "label=com.docker.compose.project=$(setting COMPOSE_PROJECT_NAME dagma)" \
    --filter label=com.docker.compose.oneoff=False \
    --format '{{.Label "com.docker.compose.service"}} {{.State}} {{.Status}}' |
    awk '/ running .*\(healthy\)$/ || / exited Exited \(0\)/ { next }
      / running Up [^(]*$/ && !/^(dagster-migrate|ledger-migrate|flows-push) / { next }
      { print }' || true
}

# Says why, and stops. A one-shot that failed is a cause by itself: what still starts beside it has not failed.
explain_unready() {
  local service failed
  failed=$(unready | grep "$HAS_FAILED" | cut -d ' ' -f 1 | sort -u) || true
  [ -n "$failed" ] || unready >&2
  for service in ${failed:-$(unready | cut -d ' ' -f 1 | sort -u)}; do
    printf '\n--- last lines of %s\n' "$service" >&2
    docker compose --ansi never logs --no-log-prefix --tail 15 "$service" >&2
  done
  [ -z "$failed" ] || die "${failed//$'\n'/ } failed" "do what the lines above say, then run make up again"
  die "not every service came up" "read the lines above, or: make logs s=SERVICE; then run make up again"
}

show_stack() {
  local login
  if gateway_is_on; then
    login=$'\n'$(who_may_log_in)
  elif [ -t 1 ]; then
    login="   login: $(setting LANGFLOW_SUPERUSER admin) / $(setting LANGFLOW_SUPERUSER_PASSWORD '')"
  else
    # A password belongs on a person's screen, not in the log of a CI job.
    login="   login: $(setting LANGFLOW_SUPERUSER admin), password: grep LANGFLOW_SUPERUSER_PASSWORD .env"
  fi
  cat <<SCREEN

Dagma is up (${PHASES:-nothing has changed}).

$(docker compose ps --format '{{.Service}}\t{{.Status}}' | expand -t 20 | sed 's/^/  /')

  Dagster   $(dagster_address)
  Langflow  $(setting LANGFLOW_PUBLIC_URL "http://127.0.0.1:$(setting LANGFLOW_PORT 7860)")$login

Next:  make ask Q="What is the capital of France?"
SCREEN
}
