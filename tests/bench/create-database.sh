#!/bin/bash
# The database of the Dagster that runs on defaults, after the others.
set -Eeuo pipefail
psql -v ON_ERROR_STOP=1 --no-psqlrc -q --username postgres --dbname postgres \
  -c "CREATE DATABASE dagster_default OWNER dagster ENCODING 'UTF8' TEMPLATE template0"
