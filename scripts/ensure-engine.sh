# Install and start a Docker engine with Compose and BuildKit on Debian and Ubuntu. Sourced by up.sh and test.sh.
# It touches: the distribution's packages docker.io, docker-compose and docker-buildx and what they depend on; and what
# scripts/loopback-ports.sh says.
# It never touches an engine that answers.
# shellcheck shell=bash

. scripts/loopback-ports.sh

ENGINE_STARTED_PID=""
ENGINE_STARTED_BY_SYSTEMD=""

engine_packages() {
  case "$(os_id)" in
    ubuntu) echo docker.io docker-compose-v2 docker-buildx ;;
    debian) echo docker.io docker-cli docker-compose docker-buildx ;;
  esac
}

# announce_engine: say what ensure_engine will do.
announce_engine() {
  if command -v dockerd >/dev/null 2>&1; then
    log "preflight: no Docker engine answers; it will be started"
    announce_loopback_rules
    return
  fi
  case "$(os_id) $(os_version)" in
    "debian 11" | "debian 12")
      die "no Docker engine answers, and this Debian has no Compose 2" "install Docker as https://docs.docker.com/engine/install/debian says, then run this again"
      ;;
  esac
  log "preflight: no Docker engine answers; it will be installed and started"
  log "  packages    $(engine_packages), and what they depend on"
  announce_loopback_rules
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
  local packages
  export DEBIAN_FRONTEND=noninteractive
  read -ra packages <<<"$(engine_packages)"
  apt-get update
  apt-get install -y --no-install-recommends "${packages[@]}"
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
