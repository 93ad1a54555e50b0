#!/bin/bash
# Three databases, each with a login role of its own that can reach no other. Runs once, on an empty volume.
#
# dagster and langflow own their database, since both migrate their own tables. In dagma the tables belong to
# dagma_owner, which only the migration uses; the application's role, dagma, gets the rights that the migration grants it.
set -Eeuo pipefail

psql -v ON_ERROR_STOP=1 --no-psqlrc -q --username "$POSTGRES_USER" --dbname postgres \
  -v dagster_password="$DAGSTER_PG_PASSWORD" \
  -v langflow_password="$LANGFLOW_PG_PASSWORD" \
  -v dagma_password="$DAGMA_PG_PASSWORD" \
  -v dagma_owner_password="$DAGMA_PG_OWNER_PASSWORD" <<'SQL'
CREATE ROLE dagster LOGIN PASSWORD :'dagster_password';
CREATE ROLE langflow LOGIN PASSWORD :'langflow_password';
CREATE ROLE dagma LOGIN PASSWORD :'dagma_password';
CREATE ROLE dagma_owner LOGIN PASSWORD :'dagma_owner_password';

CREATE DATABASE dagster OWNER dagster ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE langflow OWNER langflow ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE dagma OWNER dagma_owner ENCODING 'UTF8' TEMPLATE template0;

REVOKE ALL ON DATABASE postgres, dagster, langflow, dagma FROM PUBLIC;
GRANT CONNECT ON DATABASE dagma TO dagma;
SQL
