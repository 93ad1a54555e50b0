"""Migrations are SQL, with a file for each database: types, functions, triggers and rights differ."""

from importlib import resources

import sqlalchemy as sa
from alembic import op


def run_script(revision: str) -> None:
    """Run the statements of `<revision>_<dialect>.sql`, which lines of two dashes separate.

    Args:
        revision: The migration that is running.
    """
    # Without parameters the driver leaves the percent signs of the functions alone.
    connection = op.get_bind().execution_options(no_parameters=True)
    dialect = connection.dialect.name
    script = resources.files("dagma.ledger.migrations").joinpath(f"{revision}_{dialect}.sql")
    statements = script.read_text(encoding="utf-8")
    if dialect == "postgresql":
        schema = connection.scalar(sa.text("SELECT quote_ident(current_schema())"))
        statements = statements.replace("{schema}", str(schema))
    for statement in statements.split("\n--\n"):
        connection.exec_driver_sql(statement)
