#!/usr/bin/env bash
# Build stand-ins for upstream images from Debian's packages, under the upstream names.
#
# Usage: docker/base/build.sh IMAGE...
#   IMAGE  python:3.13-slim-trixie, postgres:17-trixie or valkey/valkey:8.1
# Needs: a Docker engine, root, Debian, and the mirror that this machine's own apt uses.
# It touches: the package mmdebstrap, and the images named above.
set -Eeuo pipefail
cd "$(dirname "$0")"
# shellcheck source=docker/base/mirror.sh
. ./mirror.sh

die() {
  printf 'error: %s\n fix: %s\n' "$1" "$2" >&2
  exit 1
}

make_debian_image() {
  local uri=${DAGMA_DEBIAN_MIRROR:-}
  if [ -z "$uri" ]; then
    [ -n "$(debian_mirror)" ] || apt-get update
    uri=$(debian_mirror)
  fi
  [ -n "$uri" ] || die "this machine's apt sources name no Debian mirror" "set DAGMA_DEBIAN_MIRROR to one, or make an image registry reachable"
  command -v mmdebstrap >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mmdebstrap
  mmdebstrap --variant=minbase --mode=root \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    trixie - "$uri" | docker import - dagma-base/debian:trixie
}

if ! [ "$(id -u)" = 0 ] || ! command -v apt-get >/dev/null; then
  die "the upstream images can't be pulled, and building them needs root on Debian" \
    "make an image registry reachable (a mirror goes into the engine's daemon.json), or run this as root on Debian"
fi
docker image inspect dagma-base/debian:trixie >/dev/null 2>&1 || make_debian_image
for image in "$@"; do
  case $image in
    python:*) target=python ;;
    postgres:*) target=postgres ;;
    valkey/*) target=valkey ;;
    *) die "there is no stand-in for $image" "add a target to docker/base/Dockerfile" ;;
  esac
  docker build --progress plain --target "$target" --tag "$image" .
done
