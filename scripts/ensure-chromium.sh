# Find a Chromium for the browser tests, or install Debian's. Sourced by test.sh.
# It touches: the distribution's packages chromium, fonts-inter and fonts-liberation and what they depend on.
# It never touches a browser that is there.
# shellcheck shell=bash

# find_chromium: print the browser that tests/browser uses too; fail where there is none.
find_chromium() {
  local name
  if [ -n "${DAGMA_CHROMIUM:-}" ]; then
    command -v "$DAGMA_CHROMIUM" || die "DAGMA_CHROMIUM is $DAGMA_CHROMIUM, and no program is there" "set it to the path of a Chromium or Chrome"
    return
  fi
  for name in chromium chromium-browser google-chrome; do
    command -v "$name" && return
  done
  return 1
}

# check_chromium: there is a browser, or it can be installed. Changes nothing.
check_chromium() {
  if find_chromium >/dev/null; then return; fi
  if [ "$(os_id)" = ubuntu ]; then
    # Ubuntu's package of that name only calls snap, which needs systemd and can't start in a container.
    die "there is no Chromium, and Ubuntu has it as a snap only" "snap install chromium, or set DAGMA_CHROMIUM to the path of a Chromium or Chrome"
  fi
  if [ "$(os_id)" != debian ] || ! is_root; then
    die "there is no Chromium for the browser tests" "install the package chromium or google-chrome, or set DAGMA_CHROMIUM to the path of one"
  fi
}

ensure_chromium() {
  if find_chromium >/dev/null; then return; fi
  check_chromium
  agree "Install Debian's packages chromium, fonts-inter and fonts-liberation for the browser tests?" ||
    die "there is no Chromium for the browser tests" "install one, or set DAGMA_CHROMIUM to the path of one"
  quietly .dev/logs/chromium.log install_chromium
}

install_chromium() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  # Langflow asks for Inter; whatever else a page asks for is Liberation. Without any font a page is boxes.
  apt-get install -y --no-install-recommends chromium fonts-inter fonts-liberation
}
