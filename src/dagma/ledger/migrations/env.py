"""Alembic's entry: run the migrations on the connection that `dagma.ledger.migrate` opened."""

from alembic import context

from dagma.ledger.database import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=False,  # the caller holds one transaction around all of it
)
context.run_migrations()
