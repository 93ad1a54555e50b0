"""Dagster's storage on PostgreSQL, over connections that are kept.

Dagster's own opens one for each statement: some hundred for a run, which log in one after the other, and ten a second
while nothing runs. Each takes longer than most statements.
"""

import os
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Any, Self

from dagster import DagsterInstance
from dagster._config.config_schema import UserConfigSchema
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.config import pg_config
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
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


class RunStorage(PostgresRunStorage):
    """Where runs are kept."""

    @override
    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        self._engine = webserver_engine(self, statement_timeout, pool_recycle, max_overflow)


class EventLogStorage(PostgresEventLogStorage):
    """Where events are kept."""

    @override
    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        self._engine = webserver_engine(self, statement_timeout, pool_recycle, max_overflow)


class ScheduleStorage(PostgresScheduleStorage):
    """Where schedules, sensors and their ticks are kept."""

    @override
    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        self._engine = webserver_engine(self, statement_timeout, pool_recycle, max_overflow)


class PostgresStorage(DagsterStorage[DagsterInstance], ConfigurableClass):
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
        """Open the storage.

        Args:
            postgres_url: The database.
            should_autocreate_tables: Create the tables where there are none.
            inst_data: Where Dagster read this configuration from.
            token_provider: Gives passwords that expire.
        """
        self._inst_data = inst_data
        self._run_storage = RunStorage(postgres_url, should_autocreate_tables, token_provider=token_provider)
        self._event_log_storage = EventLogStorage(postgres_url, should_autocreate_tables, token_provider=token_provider)
        self._schedule_storage = ScheduleStorage(postgres_url, should_autocreate_tables, token_provider=token_provider)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = shared_engine(storage, **POOL)
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    @override
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @override
    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return pg_config()

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

    @property
    @override
    def run_storage(self) -> RunStorage:
        return self._run_storage

    @property
    @override
    def event_log_storage(self) -> EventLogStorage:
        return self._event_log_storage

    @property
    @override
    def schedule_storage(self) -> ScheduleStorage:
        return self._schedule_storage


# By database and settings: Dagster makes instances as it needs them, and never closes the engine of one.
_engines: dict[Hashable, Engine] = {}


def shared_engine(storage: RunStorage | EventLogStorage | ScheduleStorage, **pool: int) -> Engine:
    """Give this process's connections to the server of a storage, the same ones for all storages and instances.

    Args:
        storage: Any of those at the server.
        pool: SQLAlchemy's settings of the pool.

    Returns:
        An engine that makes sure of each connection that it still works before it is used.
    """
    key = (storage.postgres_url, *sorted(pool.items()))
    if key not in _engines:
        engine = create_pg_engine(
            storage.postgres_url, storage._token_provider, isolation_level="AUTOCOMMIT", pool_pre_ping=True, **pool
        )
        _engines.setdefault(key, engine)  # another thread may have been first
    return _engines[key]


def webserver_engine(
    storage: RunStorage | EventLogStorage | ScheduleStorage,
    statement_timeout: int,
    pool_recycle: int,
    max_overflow: int,
) -> Engine:
    """Give the connections of a webserver, whose statements are bounded.

    Args:
        storage: Any of those at the server.
        statement_timeout: Of each statement, in milliseconds.
        pool_recycle: The age at which a connection is replaced, in seconds.
        max_overflow: How many connections may be opened beside those that are kept.

    Returns:
        An engine like `shared_engine`'s.
    """
    pool = {**POOL_OF_WEBSERVER, "pool_recycle": pool_recycle, "max_overflow": max_overflow}
    engine = shared_engine(storage, **pool)
    if not event.contains(engine, "connect", _bounding(statement_timeout)):
        event.listen(engine, "connect", _bounding(statement_timeout))
    return engine


@cache
def _bounding(statement_timeout: int) -> Callable[[Any, Any], None]:
    return lambda connection, _: set_pg_statement_timeout(connection, statement_timeout)


def _forget_after_fork() -> None:
    # The sockets belong to the parent: drop them without a word to the server.
    for engine in _engines.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_after_fork)
