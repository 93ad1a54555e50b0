# Install and start a Docker engine with Compose and BuildKit on Debian and Ubuntu. Sourced by up.sh and test.sh.
# It touches: the distribution's packages docker.io, docker-compose and docker-buildx and what they depend on; on a Debian
# whose own Compose is older than 2, also a source for the suite trixie, pinned so low that nothing else comes from it.
# It never touches an engine that answers.
# shellcheck shell=bash

. docker/base/mirror.sh

ENGINE_STARTED_PID=""

ensure_engine() {
  engine_answers && return
  if ! command -v dockerd >/dev/null 2>&1; then
    agree "Install Docker from the packages of $(os_id) (and on Debian 12 its dependencies from Debian 13)?" ||
      die "no Docker engine" "install Docker with Compose 2, then run this again"
    quietly .dev/logs/engine.log install_engine
  fi
  start_engine
}

install_engine() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  case "$(os_id)" in
    ubuntu) apt-get install -y --no-install-recommends docker.io docker-compose-v2 docker-buildx ;;
    debian)
      local suite=()
      if ! apt-cache policy docker-compose | grep -q 'Candidate: [2-9]'; then
        add_trixie
        suite=(-t trixie)
      fi
      # One command and one suite: a mix of suites removes dockerd.
      apt-get install -y --no-install-recommends "${suite[@]}" docker.io docker-cli docker-compose docker-buildx
      ;;
  esac
}

add_trixie() {
  local mirror
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || die "this machine's apt sources name no Debian mirror" "add one, or install Docker with Compose 2 yourself"
  cat >/etc/apt/sources.list.d/dagma-trixie.sources <<SOURCE
# Added for docker-compose 2. Remove this file and /etc/apt/preferences.d/dagma-trixie to undo.
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCE
  printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' >/etc/apt/preferences.d/dagma-trixie
  apt-get update
}

start_engine() {
  if [ -d /run/systemd/system ]; then
    quietly .dev/logs/engine.log systemctl enable --now docker
  else
    mkdir -p .dev/logs
    # A session of its own: Ctrl-C in this terminal must not end the engine.
    setsid dockerd >.dev/logs/dockerd.log 2>&1 </dev/null &
    ENGINE_STARTED_PID=$!
  fi
  local deadline=$((SECONDS + 60))
  until engine_answers; do
    [ "$SECONDS" -lt "$deadline" ] || die "the Docker engine was started and does not answer" "read .dev/logs/dockerd.log or: journalctl -u docker"
    sleep 1
  done
}

# stop_engine: end the engine if this very script started it.
stop_engine() {
  [ -n "$ENGINE_STARTED_PID" ] || return 0
  kill "$ENGINE_STARTED_PID" 2>/dev/null || return 0
  wait "$ENGINE_STARTED_PID" 2>/dev/null || true
}
