"""docker/postgres/limits.sql: how many connections each role may have."""

import re

from dagster_webserver.cli import DEFAULT_POOL_MAX_OVERFLOW
from unit.scripts.compose import ROOT, SERVICES

POSTGRES = ROOT / "docker" / "postgres"
RESERVED_FOR_SUPERUSERS = 3  # PostgreSQL's default


def limits() -> dict[str, int]:
    lines = re.findall(
        r"^ALTER ROLE (\w+) CONNECTION LIMIT (\d+);$", (POSTGRES / "limits.sql").read_text(), re.MULTILINE
    )
    return {role: int(limit) for role, limit in lines}


def test_every_role_that_logs_in_has_a_limit() -> None:
    made = re.findall(r"^CREATE ROLE (\w+) LOGIN", (POSTGRES / "init-databases.sh").read_text(), re.MULTILINE)
    assert limits().keys() == set(made)


def test_roles_that_are_all_at_their_limits_leave_room_for_the_superuser() -> None:
    (most,) = [int(each.partition("=")[2]) for each in SERVICES["postgres"]["command"] if "max_connections" in each]
    assert sum(limits().values()) + 10 <= most - RESERVED_FOR_SUPERUSERS
    assert most < SERVICES["postgres"]["pids_limit"], "each connection is a process"


def test_the_limit_of_langflow_covers_its_pools() -> None:
    """20 and 30 more by default, and 2 of the writer of its traces (langflow/services/database, telemetry_writer)."""
    assert not [name for name in SERVICES["langflow"]["environment"] if "POOL" in name or "DB_CONNECTION" in name]
    assert limits()["langflow"] >= 20 + 30 + 2


def test_the_limit_of_dagster_covers_its_webserver_and_20_runs() -> None:
    """Its webserver has a pool for each of three storages, of 1 and as many more as its own default says."""
    assert "--db-pool-max-overflow" not in SERVICES["dagster-webserver"]["command"]
    assert limits()["dagster"] >= 3 * (1 + DEFAULT_POOL_MAX_OVERFLOW) + 20 + 12 + 4 * 20
