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

# dotenv NAME [FILE]: the value as Compose would read it, from the environment or .env. Where Compose would change what
# stands there, this stops: a key that was cut is hard to find.
dotenv() {
  local name=$1 file=${2:-.env} value
  if printenv "$name"; then return; fi
  value=$(sed -n "s/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}${name}[[:space:]]*[=:][[:space:]]*//p" "$file" | tail -n 1) || return 1
  case $value in
    \'*\'*)
      value=${value#\'}
      ended "$name" "$file" "${value#*\'}"
      value=${value%%\'*}
      ;;
    \"*\"*)
      value=${value#\"}
      ended "$name" "$file" "${value#*\"}"
      value=${value%%\"*}
      unchanged "$name" "$file" "\\" "$value"
      unchanged "$name" "$file" "\$" "$value"
      ;;
    \'* | \"*) die "$name in $file has a quote that does not end on its line" "write it on one line: $name='...'" ;;
    *)
      value=${value%%[[:space:]]\#*}
      value=${value%"${value##*[![:space:]]}"}
      unchanged "$name" "$file" "\$" "$value"
      ;;
  esac
  printf '%s' "$value"
}

# ended NAME FILE REST: refuse what stands behind a value's closing quote, other than a comment.
ended() {
  case ${3#"${3%%[![:space:]]*}"} in
    '' | \#*) ;;
    *) die "$1 in $2 goes on behind its closing quote" "put a value with \" into single quotes, and one with ' into double quotes" ;;
  esac
}

# unchanged NAME FILE SIGN VALUE: refuse a sign that Compose replaces where it stands.
unchanged() {
  case $4 in
    *"$3"*) die "$1 in $2 has a $3, which Compose replaces" "put the value into single quotes: $1='...'" ;;
  esac
}

# setting NAME DEFAULT: the same, or the default where it is empty. There may be no .env yet.
setting() {
  local file=.env value
  [ -f "$file" ] || file=/dev/null
  value=$(dotenv "$1" "$file") || return 1
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
