# The vocabulary of the scripts: log, warn, die, and the questions that several of them ask. Sourced, never run.
# shellcheck shell=bash

log() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }

# die CAUSE FIX: say both and stop.
die() {
  printf '\nerror: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf ' fix: %s\n' "$2" >&2
  exit 1
}

# phase NAME COMMAND...: run the command, then say how long it took. PHASES collects "NAME seconds" for the last screen.
PHASES=""
phase() {
  local name=$1 started=$SECONDS
  shift
  "$@"
  PHASES="${PHASES:+$PHASES, }$name $((SECONDS - started)) s"
}

# quietly LOG COMMAND...: keep the command's output in a file; show its end only when the command fails.
quietly() {
  local file=$1
  shift
  mkdir -p "$(dirname "$file")"
  # In a shell of its own: `die` inside it must not end this one before the file's end was shown.
  if ! ("$@") >"$file" 2>&1; then
    tail -n 40 "$file" >&2
    die "$* failed" "read $file, whose end is above"
  fi
}

# version_at_least HAVE WANT
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

is_root() { [ "$(id -u)" = 0 ]; }
os_id() { sed -n 's/^ID=//p' /etc/os-release 2>/dev/null | tr -d '"'; }
os_version() { sed -n 's/^VERSION_ID=//p' /etc/os-release 2>/dev/null | tr -d '"'; }
is_debian_like() { case "$(os_id)" in debian | ubuntu) return 0 ;; *) return 1 ;; esac; }
# `docker info` ends well without an engine too, in some versions of the client (docker/cli#5900).
engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Standard input's SHA-256, with a tail of its own in either tool.
digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

# setting NAME DEFAULT: from the environment, else from .env, without quotes around it as for Compose, else the default.
setting() {
  local value
  if ! value=$(printenv "$1"); then
    value=$(sed -n "s/^$1=//p" .env 2>/dev/null | tail -n 1)
    case $value in \'*\' | \"*\") value=${value#?} value=${value%?} ;; esac
  fi
  printf '%s' "${value:-$2}"
}

# compose_files: those that Compose reads: COMPOSE_FILE, or where that is not set, Compose's own choice.
compose_files() {
  local override=""
  [ ! -f docker-compose.override.yml ] || override=:docker-compose.override.yml
  setting COMPOSE_FILE "docker-compose.yml$override"
}

# agree QUESTION: ask where there is a terminal; go on where there is none or with YES=1.
agree() {
  local answer
  if [ "${YES:-}" = 1 ] || [ ! -t 0 ] || [ ! -t 1 ]; then return 0; fi
  printf '%s [y/N] ' "$1"
  read -r answer
  case "$answer" in y | Y | yes) return 0 ;; *) return 1 ;; esac
}
