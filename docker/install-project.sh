#!/bin/sh
# Add the packages of the user's project to a virtual environment. What is installed there already keeps its version.
#
# Usage: install-project.sh VENV REQUIREMENTS
# Needs: uv, in /opt/build-tools or, in a checkout, beside VENV's Python. Reads what install-locked.sh reads.
set -eu
venv=$1
requirements=$2

if [ -s /run/secrets/ca_bundle ]; then export SSL_CERT_FILE=/run/secrets/ca_bundle; fi
if [ -n "${PACKAGE_INDEX:-}" ]; then export UV_DEFAULT_INDEX="$PACKAGE_INDEX"; fi
uv=/opt/build-tools/bin/uv
if [ -x "$venv/bin/uv" ]; then
  uv=$venv/bin/uv
else
  export UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_CACHE_DIR=/var/cache/uv
fi

kept=$(mktemp)
trap 'rm -f "$kept"' EXIT
"$uv" pip freeze --quiet --exclude-editable --python "$venv/bin/python" >"$kept"
"$uv" pip install --quiet --python "$venv/bin/python" --constraint "$kept" -r "$requirements"
