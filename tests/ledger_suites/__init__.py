"""What the ledger promises on every database. The unit tests run these on SQLite, the stack tests on PostgreSQL."""
