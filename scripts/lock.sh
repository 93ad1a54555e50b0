#!/usr/bin/env bash
# Lock every image's and the developer's packages: exact versions and hashes, no download addresses.
#
# Usage: make lock              keep the versions of the present locks where the inputs allow them
#        make lock UPGRADE=1    take the newest versions that the inputs allow
set -Eeuo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv

compile() {  # OUTPUT PYTHON INPUT...
  local output=$1 python=$2
  shift 2
  "$uv" pip compile --quiet --universal --generate-hashes --python-version "$python" ${UPGRADE:+--upgrade} \
    --custom-compile-command 'make lock' --output-file "$output" "$@"
}

compile docker/build-tools.txt 3.11 docker/build-tools.in
compile docker/dagma/requirements.txt 3.13 pyproject.toml --extra webserver
# Langflow and the LLM also run outside containers (make dev), on the host's Python.
compile docker/langflow/requirements.txt 3.11 docker/langflow/requirements.in
compile docker/langflow/requirements-slim.txt 3.11 docker/langflow/requirements-slim.in
compile docker/llm/requirements.txt 3.11 --no-deps docker/llm/requirements.in
compile requirements-dev.txt 3.11 pyproject.toml --extra langchain --extra webserver --group dev
