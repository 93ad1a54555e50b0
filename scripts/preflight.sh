# Can this machine run the stack? Sourced by up.sh and test.sh. Changes nothing.
# shellcheck shell=bash

check_engine() {
  if engine_answers; then
    local version
    version=$(docker version --format '{{.Server.Version}}')
    version_at_least "$version" "$MIN_DOCKER_VERSION" ||
      die "the Docker engine is $version; $MIN_DOCKER_VERSION or later is needed" "update Docker"
    check_compose
  elif is_root && is_debian_like; then
    announce_engine
  elif command -v docker >/dev/null 2>&1 && [ "$(uname)" = Darwin ]; then
    die "no Docker engine answers" "start Docker Desktop, then run this again"
  elif [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
    die "the Docker engine does not let user $(id -un) in" "sudo usermod -aG docker $(id -un), log in again, then run this again"
  else
    die "no Docker engine answers" "install and start Docker with Compose 2 (as root on Debian and Ubuntu this script does it), then run this again"
  fi
}

check_compose() {
  local version
  version=$(docker compose version --short 2>/dev/null) ||
    die "docker has no compose plugin" "install the plugin: package docker-compose-v2, docker-compose-plugin or docker-compose 2"
  version=${version#v}
  version_at_least "$version" "$MIN_COMPOSE_VERSION" ||
    die "docker compose is $version; $MIN_COMPOSE_VERSION or later is needed" "update the compose plugin"
  docker buildx version >/dev/null 2>&1 || die "docker has no buildx plugin" "install the plugin: package docker-buildx or docker-buildx-plugin"
}

memory_mib() {
  if engine_answers; then
    echo $(($(docker info --format '{{.MemTotal}}') / 1048576))
  else
    echo $(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
  fi
}

check_memory() {
  local mib
  mib=$(memory_mib)
  [ "$mib" -ge "$MIN_MEMORY_MIB" ] ||
    die "the engine has $mib MiB of memory; $MIN_MEMORY_MIB MiB are needed" "give the machine, or Docker Desktop's VM, more memory"
}

check_disk() {
  local root=/var/lib/docker gib
  if engine_answers; then root=$(docker info --format '{{.DockerRootDir}}'); fi
  # With Docker Desktop the directory is inside its VM, which this can't see.
  while [ ! -d "$root" ]; do root=$(dirname "$root"); done
  gib=$(($(df -Pk "$root" | awk 'NR == 2 {print $4}') / 1048576))
  if docker image inspect "dagma/langflow:$(setting DAGMA_TAG local)" >/dev/null 2>&1; then return; fi
  [ "$gib" -ge "$MIN_DISK_GIB" ] || die "$root has $gib GiB free; $MIN_DISK_GIB GiB are needed" "free some: docker system prune"
}

# port_is_free PORT
port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# check_port NAME DEFAULT SERVICE CONTAINER_PORT: free, or held by this very stack; and not one that was checked before.
CHECKED_PORTS=" "
check_port() {
  local port
  port=$(setting "$1" "$2")
  if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || [ "$port" -gt 65535 ]; then
    die "$1 is \"$port\", which is no port number" "set $1 in .env to a number from 1 to 65535"
  fi
  case $CHECKED_PORTS in *" $port "*) die "$1 is $port, and so is another port of this stack" "set $1 in .env to a free port" ;; esac
  CHECKED_PORTS="$CHECKED_PORTS$port "
  port_is_free "$port" && return
  if [ -f .env ] && docker compose port "$3" "$4" 2>/dev/null | grep -q ":$port\$"; then return; fi
  die "port $port of 127.0.0.1 is in use" "stop what listens there, or set $1 in .env to a free port"
}

SECOND_STACK="make up COMPOSE_PROJECT_NAME=second DAGSTER_PORT=3001 LANGFLOW_PORT=7861, which the new .env then keeps"

# check_owner: containers of this name are not those of another checkout, whose passwords and project they would lose.
check_owner() {
  local project folder
  project=$(setting COMPOSE_PROJECT_NAME dagma)
  while read -r folder; do
    [ ! -f "$folder/.env" ] || [ "$folder" -ef . ] ||
      die "the stack $project is that of $folder" \
        "set COMPOSE_PROJECT_NAME in .env to another name and DAGSTER_PORT and LANGFLOW_PORT to free ports, or run make down there first"
  done < <(docker ps --all --filter "label=com.docker.compose.project=$project" --format '{{.Label "com.docker.compose.project.working_dir"}}')
}

check_env_file() {
  local project name value missing=""
  project=$(setting COMPOSE_PROJECT_NAME dagma)
  if [ ! -f .env ]; then
    if docker volume inspect "${project}_postgres-data" >/dev/null 2>&1; then
      die "there is no .env, but volume ${project}_postgres-data holds data that was made with the passwords of one" \
        "put that .env back. Beside the stack of another checkout: $SECOND_STACK. To delete all data instead: (cd / && docker compose -p $project down --volumes)"
    fi
    return
  fi
  # shellcheck disable=SC2013  # names hold no spaces
  for name in $(sed -n 's/^\([A-Z_]*\)=<random.*/\1/p' .env.example); do
    # An .env of before the gateway goes on without it.
    [ "$name" != DAGMA_GATEWAY_SECRET ] || gateway_is_on || continue
    value=$(setting "$name" '') || exit 1
    [ -n "$value" ] || missing="$missing $name"
    # Addresses are made of these.
    case $name:$value in
      *_PG_PASSWORD:*[]@:/?#%\\[:space:][]* | REDIS_PASSWORD:*[]@:/?#%\\[:space:][]*)
        die "$name has a sign that an address can't hold" "set it in .env to letters and digits"
        ;;
    esac
  done
  [ -z "$missing" ] || die ".env lacks:$missing" "add each with a value of its own: head -c 32 /dev/urandom | base64 | tr +/ -_ | tr -d ="
}

# check_whole_number NAME DEFAULT: at least 1.
check_whole_number() {
  local number
  number=$(setting "$1" "$2")
  case "$number" in '' | 0* | *[!0-9]*) die "$1 is \"$number\", which is no whole number above 0" "set $1 in .env to one, such as $2" ;; esac
}

# Compose's own settings, such as memory limits: what it can't read, it says itself. Needs .env.
check_compose_file() {
  local complaint
  complaint=$(docker compose config --quiet 2>&1) || die "docker compose can't use these settings: ${complaint##*$'\n'}" "correct them in .env"
}

# Some containers read these from the checkout, as users of their own.
check_checkout() {
  local unreadable
  unreadable=$(find flows docker/postgres project/data ! -perm -004 2>/dev/null | head -n 1) || true
  [ -z "$unreadable" ] ||
    die "$unreadable can't be read by the containers' users; the umask of this checkout is too strict" "chmod -R o+rX flows docker/postgres project/data"
}

# warn_of_unread_settings: a name with a typing error would be a limit, or a key, that nobody reads. So would a setting of
# Langflow's that docker-compose.yml has a value of its own for.
warn_of_unread_settings() {
  local name
  [ -f .env ] || return 0
  while read -r name; do
    case $name in DAGMA_* | DAGSTER_* | GATEWAY_* | LANGFLOW_* | LLM_* | REDIS_* | TABLES_* | WORKER* | *_MEMORY) ;; *) continue ;; esac
    grep -qE "^(# )?$name=" .env.example || grep -qsw -e "$name" docker-compose.override.yml ||
      warn ".env has $name, which nothing reads; docs/settings.md lists every setting"
  done < <(sed -n "s/$PROJECT_VARIABLE.*/\2/p" .env)
}

preflight() {
  check_checkout
  check_engine
  check_memory
  check_disk
  check_env_file
  check_project_env_file
  warn_of_unread_settings
  if gateway_is_on; then
    check_port GATEWAY_PORT 8443 gateway 8443
    check_port GATEWAY_LANGFLOW_PORT 8444 gateway 8444
    check_port GATEWAY_HTTP_PORT 8080 gateway 8080
  else
    check_port DAGSTER_PORT 3000 dagster-webserver 3000
    check_port LANGFLOW_PORT 7860 langflow 7860
  fi
  if engine_answers; then warn_of_loopback_ports; fi
}
