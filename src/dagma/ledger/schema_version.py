"""Which migration this code needs, known without importing Alembic on a worker's hot path."""

VERSION_TABLE = "ledger_version"
HEAD = "0009"
