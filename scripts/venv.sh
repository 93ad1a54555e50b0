#!/usr/bin/env bash
# The developer's tools, in .venv: locked packages and this package itself, editable.
#
# Usage: made by the Makefile when a lock changes. Needs: Python 3.11 or later with the module venv.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/env-file.sh

# Where a proxy re-signs TLS, pip and uv trust only what they are told to.
ca_bundle=$(host_ca_bundle)
if [ -n "$ca_bundle" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$ca_bundle}" PIP_CERT="${PIP_CERT:-$ca_bundle}"; fi

python=${PYTHON:-}
for candidate in python3 python3.13 python3.12 python3.11; do
  [ -z "$python" ] || break
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; fi
done
[ -n "$python" ] || die "there is no Python 3.11 or later" "install one, or name it: make PYTHON=/path/to/python3 ..."

if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  if is_root && is_debian_like && agree "Install python3-venv?"; then
    quietly .dev/logs/venv.log env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update && apt-get install -y --no-install-recommends python3-venv'
  else
    die "$python can't make virtual environments" "install the package python3-venv"
  fi
fi

log "venv: installing the locked tools into .venv"
# Made anew where an interrupted run, or an upgrade of Python, has left one without pip.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
quietly .dev/logs/venv.log .venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r docker/build-tools.txt
quietly .dev/logs/venv.log .venv/bin/uv pip install --python .venv/bin/python --require-hashes -r requirements-dev.txt
quietly .dev/logs/venv.log .venv/bin/uv pip install --python .venv/bin/python --no-deps --no-build-isolation --editable .
# The project's own packages, for `make dev`, `dg` and tests.
quietly .dev/logs/venv.log sh docker/install-project.sh .venv project/requirements.txt
touch .venv/ready
