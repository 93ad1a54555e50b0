#!/bin/bash
# Four databases, each with a login role of its own that can reach no other. Runs once, on an empty volume.
#
# dagster, langflow and tables own their database, since each makes its own tables. In dagma the tables belong to
# dagma_owner, which only the migration uses; the application's role, dagma, gets the rights that the migration grants it.
set -Eeuo pipefail

# psql reads the passwords itself: on its command line, every process of the container would see them. The log of
# statements would hold them too.
PGOPTIONS="-c log_statement=none -c log_min_error_statement=panic" \
  psql -v ON_ERROR_STOP=1 --no-psqlrc -q --username postgres --dbname postgres <<'SQL'
\set dagster_password `cat /run/secrets/DAGSTER_PG_PASSWORD`
\set langflow_password `cat /run/secrets/LANGFLOW_PG_PASSWORD`
\set dagma_password `cat /run/secrets/DAGMA_PG_PASSWORD`
\set dagma_owner_password `cat /run/secrets/DAGMA_PG_OWNER_PASSWORD`
\set tables_password `cat /run/secrets/TABLES_PG_PASSWORD`
CREATE ROLE dagster LOGIN PASSWORD :'dagster_password';
CREATE ROLE langflow LOGIN PASSWORD :'langflow_password';
CREATE ROLE dagma LOGIN PASSWORD :'dagma_password';
CREATE ROLE dagma_owner LOGIN PASSWORD :'dagma_owner_password';
CREATE ROLE tables LOGIN PASSWORD :'tables_password';

CREATE DATABASE dagster OWNER dagster ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE langflow OWNER langflow ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE dagma OWNER dagma_owner ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE tables OWNER tables ENCODING 'UTF8' TEMPLATE template0;

REVOKE ALL ON DATABASE postgres, dagster, langflow, dagma, tables FROM PUBLIC;
GRANT CONNECT ON DATABASE dagma TO dagma;
\i /opt/dagma-postgres/limits.sql
-- By the socket alone, as who it is to the system (pg_hba.conf): no password is asked for, and none is right.
ALTER ROLE postgres PASSWORD NULL;
SQL
