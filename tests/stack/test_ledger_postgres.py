"""The suites that every database has to pass, on PostgreSQL."""

from ledger_suites.every import *  # noqa: F403
