-- How many connections each role may have open, so that none of them takes those of another: together they are fewer
-- than max_connections (docker-compose.yml). One statement a line, for start.sh.
-- The webserver (three pools of 21), the daemon and its health check (20), the code servers (12), and four per run and
-- worker.
ALTER ROLE dagster CONNECTION LIMIT 180;
-- Its pool (20, and 30 more), the writer of its traces (2), and migrations.
ALTER ROLE langflow CONNECTION LIMIT 60;
-- The ledger's pool (15) and the session of living callers (1), in each process that calls flows. A run has about four.
ALTER ROLE dagma CONNECTION LIMIT 100;
-- One-shots.
ALTER ROLE dagma_owner CONNECTION LIMIT 10;
-- Two per run; at most 15 where the run's own code reads several tables.
ALTER ROLE tables CONNECTION LIMIT 60;
