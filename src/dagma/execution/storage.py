"""Dagster's storage on PostgreSQL, over connections that are kept.

Dagster's own opens one for each statement: some hundred for a run, which log in one after the other, and ten a second
while nothing runs. Each takes longer than most statements. Only its webserver keeps some, by itself.
"""

import os
from collections.abc import Mapping
from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, pg_url_from_config
from sqlalchemy import Engine
from typing_extensions import override

from dagma import environment


class PostgresStorage(DagsterPostgresStorage):
    """All of Dagster's tables; configured as `dagster_postgres.DagsterPostgresStorage` is.

    Without a password in the configuration it is `DAGSTER_PG_PASSWORD`, or what the file holds that
    `DAGSTER_PG_PASSWORD_FILE` names.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        """Open the storage, as Dagster opens its own."""
        super().__init__(postgres_url, should_autocreate_tables, inst_data)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = shared_engine(postgres_url)

    @override
    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        database = config_value.get("postgres_db")
        if database and not database.get("password"):
            # Not in Dagster's configuration, which takes secrets from the environment only.
            password = environment.text("DAGSTER_PG_PASSWORD", "")
            config_value = {**config_value, "postgres_db": {**database, "password": password}}
        return cls(pg_url_from_config(config_value), config_value.get("should_autocreate_tables", True), inst_data)


# By address: Dagster makes instances as it needs them, and never closes the engine of one.
_engines: dict[str, Engine] = {}


def shared_engine(postgres_url: str) -> Engine:
    """Give this process's connections to a database, the same ones for all storages and instances.

    Each is tried before it is used. Few are in use at a time; more are opened as they are needed, and closed again.
    """
    if postgres_url not in _engines:
        engine = create_pg_engine(
            postgres_url, isolation_level="AUTOCOMMIT", pool_pre_ping=True, pool_size=2, max_overflow=-1
        )
        _engines.setdefault(postgres_url, engine)  # another thread may have been first
    return _engines[postgres_url]


def _forget_after_fork() -> None:
    # The sockets belong to the parent: drop them without a word to the server.
    for engine in _engines.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_after_fork)
