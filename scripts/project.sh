# The user's project, as the containers get it: a copy that stays as it is until the next `make up`. Sourced by up.sh.
# What runs so has one version of the project, whatever is edited meanwhile, and after a restart of the machine too.
# It touches: .dev/project, and project/data, which is made where it is missing.
# shellcheck shell=bash

# The containers see this folder as /opt/project, and load /opt/project/current, a link to one of the copies.
COPIES=.dev/project
export DAGMA_PROJECT_MOUNT=./$COPIES:/opt/project

# copy_project: copy project/ (without data/, hidden files and bytecode). COPY is its name, made of what is in it.
copy_project() {
  local entry partial=$COPIES/partial
  mkdir -p project/data
  rm -rf "$partial"
  mkdir -p "$partial"
  for entry in project/*; do
    case $entry in project/data | project/__pycache__) continue ;; esac
    # What a link points to: outside of the project the containers can't follow it.
    cp -RL "$entry" "$partial/" || die "$entry can't be copied" "read the line above; remove what can't be read, or a link that points nowhere"
  done
  find "$partial" \( -name '.*' -o -name __pycache__ \) -prune -exec rm -rf {} +
  # The containers' users read it, whatever the umask of the checkout.
  chmod -R u+w,go+rX "$partial"
  chmod go+rx "$COPIES"
  # Where the containers have project/data itself, so that the next run reads a file that changed.
  ln -s /opt/project-data "$partial/data"
  COPY=$(cd "$partial" && find . -type f -print | LC_ALL=C sort | while IFS= read -r entry; do
    printf '%s ' "$entry"
    digest <"$entry"
  done | digest | cut -c 1-12)
  if [ ! -d "$COPIES/$COPY" ]; then mv "$partial" "$COPIES/$COPY"; else rm -rf "$partial"; fi
}

# use_copy: what starts from now on loads this copy.
use_copy() { ln -sfn "$COPY" "$COPIES/current"; }

# load_copy: have the code servers load it. Workers see by themselves that another copy is current.
load_copy() {
  local locations=project
  # A backend of one's own is imported by the built-in definitions too.
  [ "$(setting DAGMA_BACKEND langflow)" = langflow ] || locations="project dagma"
  # shellcheck disable=SC2086  # one argument a location
  docker compose exec -T dagster-webserver dagma reload $locations || die "the project was not loaded" "do what the lines above say, then: make up"
}

# forget_old_copies: those of a week ago. A run goes on with the copy that it began with.
forget_old_copies() {
  find "$COPIES" -mindepth 1 -maxdepth 1 ! -name current ! -name "$COPY" -mtime +7 -exec rm -rf {} +
}

# check_definitions: load settings and definitions in the new image, in a container that touches nothing. PROBLEMS has
# what is wrong. Where something runs, it goes on, and this stops; where nothing does, the UI comes up to show it.
PROBLEMS=""
check_definitions() {
  local status=0
  PROBLEMS=$(docker compose run --rm --no-deps -T --env "DAGMA_PROJECT_DIR=/opt/project/$COPY" validate 2>.dev/logs/validate.log) || status=$?
  [ "$status" -ne 0 ] || return 0
  if [ -z "$PROBLEMS" ]; then
    tail -n 20 .dev/logs/validate.log >&2
    die "settings and definitions could not be checked" "read .dev/logs/validate.log, whose end is above"
  fi
  PROBLEMS=$(printf '%s\n' "$PROBLEMS" | sed 's/^/  /')
  if [ -z "$(docker compose ps --quiet --status running user-code worker dagster-webserver dagster-daemon 2>/dev/null)" ]; then
    warn "settings or definitions can't be loaded; the UI starts to show it:
$PROBLEMS"
    return 0
  fi
  die "settings or definitions can't be loaded; nothing was changed:
$PROBLEMS" "correct them in .env or project/, then: make up. What ran goes on as it was"
}
