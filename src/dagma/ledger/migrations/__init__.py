"""Alembic's migrations of the ledger, which bring a database with older tables to the newest.

An empty database goes through none of them: `dagma.ledger.migrate` makes the newest tables in it and stamps the newest
version. To change the tables:

1. Change `tables.py`, and `guards_postgresql.sql` and `guards_sqlite.sql` where a function or a trigger changes.
2. Add `versions/0010_<what>.py` with `revision = "0010"`, `down_revision = "0009"` and an `upgrade()` that makes the
   same change to the tables of 0009, through `alembic.op`. Spell everything out there, since `tables.py` will change
   again: `op.add_column("calls", sa.Column("tone", sa.Text))`.
3. Set `HEAD` in `database.py`, and give the application's role its rights on new columns in `migrate.py`.
"""
