#!/usr/bin/env bash
# Lock every image's and the developer's packages: exact versions and hashes, no download addresses.
#
# Usage: make lock              keep the versions of the present locks where the inputs allow them
#        make lock UPGRADE=1    take the newest versions that the inputs allow
#        make lock EXTRAS="langchain mine"
#                               put these extras of pyproject.toml into the image dagma/dagma as well. Later locks keep
#                               them; EXTRAS= takes them out
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/env-file.sh
uv=.venv/bin/uv

# The lock itself remembers the extras, in the command that uv writes at its top.
extras=${EXTRAS-$(sed -n 's/^# *make lock EXTRAS="\(.*\)"$/\1/p' docker/dagma/requirements.txt)}
# shellcheck disable=SC2086  # one argument an extra
extra_options=$(printf -- '--extra %s ' webserver $extras)

compile() {  # OUTPUT PYTHON INPUT...
  local output=$1 python=$2
  shift 2
  "$uv" pip compile --quiet --universal --generate-hashes --python-version "$python" ${UPGRADE:+--upgrade} \
    --custom-compile-command "${lock_command:-make lock}" --output-file "$output" "$@"
}

compile docker/build-tools.txt 3.11 docker/build-tools.in
# shellcheck disable=SC2086  # several arguments in one variable
lock_command="make lock${extras:+ EXTRAS=\"$extras\"}" compile docker/dagma/requirements.txt 3.13 pyproject.toml $extra_options
# Langflow and the LLM also run outside containers (make dev), on the host's Python.
compile docker/langflow/requirements.txt 3.11 docker/langflow/requirements.in
compile docker/langflow/requirements-slim.txt 3.11 docker/langflow/requirements-slim.in
compile docker/llm/requirements.txt 3.11 --no-deps docker/llm/requirements.in
# shellcheck disable=SC2086  # several arguments in one variable
compile requirements-dev.txt 3.11 pyproject.toml --extra langchain $extra_options --group dev

# The login provider of the gateway's tests. Where a proxy re-signs TLS, node trusts only what it is told to.
if [ -n "${UPGRADE:-}" ]; then verb=update; else verb=install; fi
NODE_EXTRA_CA_CERTS=$(host_ca_bundle) .venv/bin/npm "$verb" --prefix tests/oidc_provider --package-lock-only \
  --omit-lockfile-registry-resolved --no-audit --no-fund
