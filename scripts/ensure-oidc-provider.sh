# Install the login provider of the gateway's tests, by the npm of .venv. Sourced by test.sh.
# It touches: .dev/oidc-provider, which holds the packages of tests/oidc_provider/package-lock.json.
# shellcheck shell=bash

ensure_oidc_provider() {
  local log=.dev/logs/oidc-provider.log
  if cmp -s tests/oidc_provider/package-lock.json .dev/oidc-provider/package-lock.json; then return; fi
  if install_oidc_provider >"$log" 2>&1; then return; fi
  tail -n 8 "$log" >&2
  # The other tests can do without it.
  warn "npm could not install the login provider of the gateway's tests, so they will fail. Fix what it says above ($log has all)"
}

install_oidc_provider() {
  local folder=.dev/oidc-provider
  rm -rf "$folder" "$folder.partial"
  mkdir -p "$folder.partial"
  cp tests/oidc_provider/package.json tests/oidc_provider/package-lock.json "$folder.partial"
  # Where a proxy re-signs TLS, node trusts only what it is told to. Short retries: without a network it says so after
  # seconds.
  NODE_EXTRA_CA_CERTS=$(host_ca_bundle) .venv/bin/npm ci --prefix "$folder.partial" --ignore-scripts --no-audit \
    --no-fund --fetch-retries 3 --fetch-retry-mintimeout 1000 --fetch-retry-maxtimeout 3000 &&
    mv "$folder.partial" "$folder"
}
