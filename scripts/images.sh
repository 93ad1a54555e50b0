# The images of the stack: upstream's by pull, or from Debian's packages where no registry can be reached; ours by build.
# Sourced by up.sh and test.sh.
# shellcheck shell=bash

upstream_images() {
  docker compose config --images | grep -v '^dagma/' | sort -u
  sed -n 's/^FROM \([^ ]*\).*/\1/p' docker/{dagma,langflow,llm}/Dockerfile | sort -u
}

provide_upstream_images() {
  local image missing=()
  for image in $(upstream_images); do
    docker image inspect "$image" >/dev/null 2>&1 || missing+=("$image")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  for image in "${missing[@]}"; do
    if ! docker pull --quiet "$image" >/dev/null 2>.dev/logs/pull.log; then
      # Another is of docker-compose.override.yml: Compose builds it, or says why it can't be had.
      case $image in python:* | postgres:* | valkey/*) ;; *) continue ;; esac
      log "images: $image can't be pulled; building it from Debian's packages"
      quietly .dev/logs/base.log docker/base/build.sh "$image"
    fi
  done
}

build_images() {
  # Attestations hold the time: with them a build from the cache is a new image, and containers would be replaced.
  export BUILDX_NO_DEFAULT_ATTESTATIONS=1
  quietly .dev/logs/build.log docker compose --progress plain build
}
