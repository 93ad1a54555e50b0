#!/bin/sh
# Trust the CA bundle that docker-compose.yml mounts, where there is one, then become the command.
set -eu
bundle=/run/dagma/ca-bundle.pem
if [ -s "$bundle" ]; then
  export SSL_CERT_FILE="$bundle" REQUESTS_CA_BUNDLE="$bundle"
fi
exec "$@"
