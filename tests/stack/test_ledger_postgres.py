"""The suites that every database has to pass, on PostgreSQL."""

import pytest

pytest.register_assert_rewrite("ledger_suites")

from ledger_suites.every import *  # noqa: E402, F403 (after the rewriting of their assertions)
from stack.ledger_fixtures import (  # noqa: E402
    ledger_postgres,
    ledger_postgres_url,
    ledger_server,
    ledger_url,
    make_ledger,
    owner_url,
)

__all__ = ["ledger_postgres", "ledger_postgres_url", "ledger_server", "ledger_url", "make_ledger", "owner_url"]
