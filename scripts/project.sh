# The user's project, as the containers get it: a copy that stays as it is until the next `make up`. Sourced by up.sh.
# What runs so has one version of the project, whatever is edited meanwhile, and after a restart of the machine too.
# It touches: .dev/project, and project/data, which is made where it is missing.
# shellcheck shell=bash

COPIES=.dev/project

digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

# copy_project: copy project/ (without data/, hidden files and bytecode), and name the copy by what is in it.
copy_project() {
  local entry copy=$COPIES/partial version
  mkdir -p project/data
  rm -rf "$copy"
  mkdir -p "$copy/data"
  for entry in project/*; do
    case $entry in project/data | project/__pycache__) continue ;; esac
    # What a link points to: outside of the project the containers can't follow it.
    cp -RL "$entry" "$copy/" || die "$entry can't be copied" "read the line above; remove what can't be read, or a link that points nowhere"
  done
  find "$copy" \( -name '.*' -o -name __pycache__ \) -prune -exec rm -rf {} +
  # The containers' users read it, whatever the umask of the checkout.
  chmod -R u+w,go+rX "$copy"
  version=$(cd "$copy" && find . -type f -print | LC_ALL=C sort | while IFS= read -r entry; do
    printf '%s ' "$entry"
    digest <"$entry"
  done | digest | cut -c 1-12)
  if [ ! -d "$COPIES/$version" ]; then mv "$copy" "$COPIES/$version"; else rm -rf "$copy"; fi
  export DAGMA_PROJECT_COPY=./$COPIES/$version
}

# forget_old_copies: what runs now needs only the present one.
forget_old_copies() {
  find "$COPIES" -mindepth 1 -maxdepth 1 ! -name "${DAGMA_PROJECT_COPY##*/}" -exec rm -rf {} +
}

# check_definitions: load settings and definitions in the new image, in a container that touches nothing. PROBLEMS has
# what is wrong. Where something runs, it goes on, and this stops; where nothing does, the UI comes up to show it.
PROBLEMS=""
check_definitions() {
  local status=0
  PROBLEMS=$(docker compose run --rm --no-deps -T validate 2>.dev/logs/validate.log) || status=$?
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
