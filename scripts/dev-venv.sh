#!/usr/bin/env bash
# The packages of Langflow or of the local LLM for `make dev`, from the lock of its image, in .dev/venvs.
#
# Usage: made by the Makefile when a lock changes: scripts/dev-venv.sh langflow|llm
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

folder=.dev/venvs/$1
log "dev: installing $1 into $folder"
unset PYTHONDONTWRITEBYTECODE
# The CAs that the machine trusts, for a proxy that re-signs TLS. Bytecode halves Langflow's start.
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}" UV_COMPILE_BYTECODE="${UV_COMPILE_BYTECODE:-1}"
quietly .dev/logs/dev-venv.log .venv/bin/uv venv --clear --python .venv/bin/python "$folder"
quietly .dev/logs/dev-venv.log .venv/bin/uv pip install --python "$folder" --no-deps --require-hashes -r "docker/$1/requirements.txt"
touch "$folder/ready"
