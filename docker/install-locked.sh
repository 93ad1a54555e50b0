#!/bin/sh
# Install a hashed requirements file into a new virtual environment, as every image of this project does.
#
# Usage: install-locked.sh VENV REQUIREMENTS
# Needs: build-tools.txt beside it. Reads: PACKAGE_INDEX, the URL of a package index other than the public one, without
# credentials; and the build secret ca_bundle, the CAs to trust where a proxy re-signs TLS.
set -eu
venv=$1
requirements=$2
here=$(dirname "$0")

if [ -s /run/secrets/ca_bundle ]; then
  export SSL_CERT_FILE=/run/secrets/ca_bundle PIP_CERT=/run/secrets/ca_bundle
fi
if [ -n "${PACKAGE_INDEX:-}" ]; then
  export UV_DEFAULT_INDEX="$PACKAGE_INDEX" PIP_INDEX_URL="$PACKAGE_INDEX"
fi

if [ ! -x /opt/build-tools/bin/uv ]; then
  python3 -m venv /opt/build-tools
  /opt/build-tools/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes -r "$here/build-tools.txt"
fi
# The cache is a build mount on another file system than the environment, so files are copied, not linked.
export UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_CACHE_DIR=/var/cache/uv
/opt/build-tools/bin/uv venv --quiet --python "$(command -v python3)" "$venv"
/opt/build-tools/bin/uv pip install --quiet --python "$venv/bin/python" --no-deps --require-hashes -r "$requirements"
