"""Dagster's storage on PostgreSQL, over connections that are kept.

Dagster's own opens one for each statement: some hundred for a run, which log in one after the other, and ten a second
while nothing runs. Each takes longer than most statements.
"""

import os
from collections.abc import Hashable, Mapping
from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.auth import PgTokenProvider
from dagster_postgres.utils import (
    create_pg_engine,
    get_token_provider_from_config,
    pg_url_from_config,
    set_pg_statement_timeout,
)
from sqlalchemy import Engine, event
from typing_extensions import override

from dagma import environment

# Few are in use at a time. More are opened as they are needed, and closed again.
POOL = {"pool_size": 2, "max_overflow": -1}
POOL_OF_WEBSERVER = {"pool_size": 4}


class KeptConnections:
    """What makes one of Dagster's storages keep its connections."""

    postgres_url: str
    _token_provider: PgTokenProvider | None
    _engine: Engine

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Use the connections of a webserver, whose statements are bounded.

        Args:
            statement_timeout: Of each statement, in milliseconds.
            pool_recycle: The age at which a connection is replaced, in seconds.
            max_overflow: How many connections may be opened beside those that are kept.
        """
        pool = {**POOL_OF_WEBSERVER, "pool_recycle": pool_recycle, "max_overflow": max_overflow}
        self._engine = shared_engine(self.postgres_url, self._token_provider, statement_timeout, **pool)


class RunStorage(KeptConnections, PostgresRunStorage):
    """Where runs are kept."""


class EventLogStorage(KeptConnections, PostgresEventLogStorage):
    """Where events are kept."""


class ScheduleStorage(KeptConnections, PostgresScheduleStorage):
    """Where schedules, sensors and their ticks are kept."""


class PostgresStorage(DagsterPostgresStorage):
    """All of them; configured as `dagster_postgres.DagsterPostgresStorage` is.

    Without a password in the configuration it is `DAGSTER_PG_PASSWORD`, or what the file holds that
    `DAGSTER_PG_PASSWORD_FILE` names.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: PgTokenProvider | None = None,
    ) -> None:
        """Open the storage, as Dagster opens its own."""
        super().__init__(postgres_url, should_autocreate_tables, inst_data, token_provider)
        # Dagster's own have made the tables, and are replaced.
        self._run_storage = RunStorage(postgres_url, False, token_provider=token_provider)
        self._event_log_storage = EventLogStorage(postgres_url, False, token_provider=token_provider)
        self._schedule_storage = ScheduleStorage(postgres_url, False, token_provider=token_provider)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = shared_engine(postgres_url, token_provider, **POOL)

    @override
    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        database = config_value.get("postgres_db")
        if database and not database.get("password"):
            # Not in Dagster's configuration, which takes secrets from the environment only.
            password = environment.text("DAGSTER_PG_PASSWORD", "")
            config_value = {**config_value, "postgres_db": {**database, "password": password}}
        return cls(
            pg_url_from_config(config_value),
            config_value.get("should_autocreate_tables", True),
            inst_data,
            get_token_provider_from_config(config_value),
        )


# By database and settings: Dagster makes instances as it needs them, and never closes the engine of one.
_engines: dict[Hashable, Engine] = {}


def shared_engine(
    postgres_url: str, token_provider: PgTokenProvider | None, statement_timeout: int | None = None, **pool: int
) -> Engine:
    """Give this process's connections to a database, the same ones for all storages and instances.

    Each is tried before it is used. `statement_timeout` is in milliseconds; `pool` are SQLAlchemy's settings.
    """
    key = (postgres_url, statement_timeout, *sorted(pool.items()))
    if key not in _engines:
        engine = create_pg_engine(
            postgres_url, token_provider, isolation_level="AUTOCOMMIT", pool_pre_ping=True, **pool
        )
        if statement_timeout is not None:
            event.listen(engine, "connect", lambda made, _: set_pg_statement_timeout(made, statement_timeout))
        _engines.setdefault(key, engine)  # another thread may have been first
    return _engines[key]


def _forget_after_fork() -> None:
    # The sockets belong to the parent: drop them without a word to the server.
    for engine in _engines.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_after_fork)
