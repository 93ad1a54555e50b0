"""Bring a ledger database to the version that this code needs, and give the application role its few rights."""

from datetime import UTC, datetime
from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, insert, text, update
from sqlalchemy.exc import DBAPIError

from dagma.ledger.database import HEAD, VERSION_TABLE, Database
from dagma.ledger.errors import LedgerNotMigratedError
from dagma.ledger.pruning import DEFAULT_DAYS
from dagma.ledger.tables import housekeeping, metadata, retention

DEFAULT_APP_ROLE = "dagma"
# One migration at a time: an arbitrary number that stands for "dagma ledger migrate".
MIGRATION_LOCK = 7_261_940_518_335_001
BEGINNING_COLUMNS = (
    "id, key, attempt, scope, flow_id, flow_name, flow_title, flow_version, backend, mode, session_id, run_id, step, "
    "partition_key, row_key, principal, state, reserved_tokens, reserved_cost, input_characters, input_hash, "
    "input_text, error_class, error_message, refusals"
)
CHANGING_COLUMNS = (
    "state, session_id, job_id, duration_ms, model, input_tokens, output_tokens, total_tokens, cost, "
    "estimated_tokens, estimated_cost, error_class, error_message, answer_hash, answer_text, refusals"
)
TABLES = ", ".join(metadata.tables)


def migrate(url: str, app_role: str | None = None, keep_days: int | None = None) -> str:
    """Create or upgrade the tables, in one transaction.

    On PostgreSQL connect as the role that shall own the tables. The application's role then may insert calls, fill in
    what changes while a call lives, and read; it may not set times, change what is finished, delete, or drop guards.

    Args:
        url: The database, with the owner's credentials.
        app_role: The role that the application connects as. By default `dagma`, where it exists and is not the owner.
        keep_days: For how many days the application shall keep calls, 0 for ever. By default as before: 400 at first.

    Returns:
        The version that the database is at now.

    Raises:
        LedgerNotMigratedError: The database is at a version that this code does not know, older or newer.
        LedgerUnavailableError: The database can't be reached, has no such role, or the role may not create tables.
    """
    database = Database(url)
    try:
        with database.engine.begin() as connection:
            if not database.is_sqlite:
                database.allow_long_statements(connection)
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            config = alembic_config()
            config.attributes["connection"] = connection
            if MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads():
                command.upgrade(config, "head")
            else:
                _create(connection)
                command.stamp(config, "head")
            if keep_days is not None:
                connection.execute(update(retention).values(keep_days=keep_days))
            if not database.is_sqlite:
                _grant(connection, app_role)
    except CommandError as error:
        raise LedgerNotMigratedError(
            f"The ledger's database {database.name} is at a version that this dagma can't bring to {HEAD} ({error}). "
            "If it is older, run `dagma ledger migrate` of an older dagma first, or name a new database in "
            "DAGMA_LEDGER_URL. If it is newer, upgrade dagma."
        ) from None
    except DBAPIError as error:
        raise database.explain(error) from None
    finally:
        database.close()
    return HEAD


def alembic_config() -> Config:
    """Tell Alembic where the migrations are."""
    config = Config()
    config.set_main_option("script_location", "dagma.ledger:migrations")
    return config


def _create(connection: Connection) -> None:
    """Make the newest tables, in the schema that the connection makes tables in, and what guards them."""
    # Without a look for tables of these names: one in another schema of the search path would pass for ours.
    metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(housekeeping).values(lost_until=datetime.fromtimestamp(0, UTC)))
    connection.execute(insert(retention).values(keep_days=DEFAULT_DAYS))
    dialect = connection.dialect.name
    guards = resources.files("dagma.ledger").joinpath(f"guards_{dialect}.sql").read_text(encoding="utf-8")
    if dialect == "postgresql":
        schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
        guards = guards.replace("{schema}", str(schema))
    for statement in guards.split("\n--\n"):
        # Without parameters the driver leaves the percent signs of the functions alone.
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _grant(connection: Connection, app_role: str | None) -> None:
    role = app_role or DEFAULT_APP_ROLE
    exists = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    if app_role is None and not exists:
        return
    if role == connection.scalar(text("SELECT current_user")):
        return
    quoted = connection.dialect.identifier_preparer.quote(role)
    # Rights that an older version gave, by column or by table, go first.
    connection.exec_driver_sql(f"REVOKE ALL ON {TABLES} FROM {quoted}")
    for grant in (
        f"SELECT ON {TABLES}, {VERSION_TABLE}",
        f"INSERT ({BEGINNING_COLUMNS}), UPDATE ({CHANGING_COLUMNS}) ON calls",
        "INSERT (call_id, body, expires_at) ON replays",
        "INSERT (call_id, reason) ON rejections",
        "INSERT, UPDATE, DELETE ON servers, shares",
        "EXECUTE ON FUNCTION ledger_expire_replays(), ledger_prune_expired(integer)",
    ):
        connection.exec_driver_sql(f"GRANT {grant} TO {quoted}")
