# Install and start a Docker engine with Compose and BuildKit on Debian and Ubuntu. Sourced by up.sh and test.sh.
# It touches: the distribution's packages docker.io, docker-compose and docker-buildx and what they depend on; on a Debian
# whose own Compose is older than 2, also a source for the suite trixie, pinned so low that nothing else comes from it.
# And what scripts/loopback-ports.sh says.
# It never touches an engine that answers.
# shellcheck shell=bash

. docker/base/mirror.sh
. scripts/loopback-ports.sh

ENGINE_STARTED_PID=""
ENGINE_STARTED_BY_SYSTEMD=""
TRIXIE_SOURCE=/etc/apt/sources.list.d/dagma-trixie.sources
TRIXIE_PIN=/etc/apt/preferences.d/dagma-trixie

engine_packages() {
  case "$(os_id)" in
    ubuntu) echo docker.io docker-compose-v2 docker-buildx ;;
    debian) echo docker.io docker-cli docker-compose docker-buildx ;;
  esac
}

# announce_engine: say what ensure_engine will do. apt's lists may be old or missing yet, so the version of Debian decides.
announce_engine() {
  if command -v dockerd >/dev/null 2>&1; then
    log "preflight: no Docker engine answers; it will be started"
    announce_loopback_rules
    return
  fi
  log "preflight: no Docker engine answers; it will be installed and started"
  log "  packages    $(engine_packages), and what they depend on"
  announce_loopback_rules
  case "$(os_id) $(os_version)" in
    "debian 11" | "debian 12")
      log "  apt source  Debian 13, for these packages only, since this Debian has no Compose 2: $TRIXIE_SOURCE, $TRIXIE_PIN"
      ;;
  esac
}

ensure_engine() {
  engine_answers && return
  if ! command -v dockerd >/dev/null 2>&1; then
    agree "Install $(engine_packages)?" ||
      die "no Docker engine" "install Docker with Compose 2, then run this again"
    quietly .dev/logs/engine.log install_engine
  fi
  start_engine
}

install_engine() {
  local packages suite=()
  export DEBIAN_FRONTEND=noninteractive
  read -ra packages <<<"$(engine_packages)"
  apt-get update
  if [ "$(os_id)" = debian ] && ! apt-cache policy docker-compose | grep -q 'Candidate: [2-9]'; then
    add_trixie
    suite=(-t trixie)
  fi
  # One command and one suite: a mix of suites removes dockerd.
  apt-get install -y --no-install-recommends "${suite[@]}" "${packages[@]}"
}

add_trixie() {
  local mirror
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || die "this machine's apt sources name no Debian mirror" "add one, or install Docker with Compose 2 yourself"
  cat >"$TRIXIE_SOURCE" <<SOURCE
# Added for docker-compose 2. Remove this file and $TRIXIE_PIN to undo.
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCE
  printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' >"$TRIXIE_PIN"
  apt-get update
}

start_engine() {
  if [ -d /run/systemd/system ]; then
    quietly .dev/logs/engine.log systemctl enable --now docker
    ENGINE_STARTED_BY_SYSTEMD=1
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
  if loopback_ports_are_open; then
    close_loopback_ports || warn "iptables can't keep ports on 127.0.0.1 to this machine: see docs/security.md"
    [ -z "$ENGINE_STARTED_BY_SYSTEMD" ] || keep_loopback_ports_closed
  fi
}

# stop_engine: end the engine if this very script started it.
stop_engine() {
  if [ -n "$ENGINE_STARTED_BY_SYSTEMD" ]; then
    systemctl disable --now docker.socket docker >>.dev/logs/engine.log 2>&1 || warn "the Docker engine could not be stopped: systemctl stop docker.socket docker"
    return
  fi
  [ -n "$ENGINE_STARTED_PID" ] || return 0
  kill "$ENGINE_STARTED_PID" 2>/dev/null || return 0
  wait "$ENGINE_STARTED_PID" 2>/dev/null || true
}
