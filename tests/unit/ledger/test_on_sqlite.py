"""The suites that every database has to pass, on SQLite."""

from ledger_suites.every import *  # noqa: F403
