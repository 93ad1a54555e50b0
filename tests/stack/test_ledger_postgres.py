"""The suites that every database has to pass, on PostgreSQL."""

import pytest

pytest.register_assert_rewrite("ledger_suites")

from ledger_suites.audit import Audit  # noqa: E402 (after the rewriting of their assertions)
from ledger_suites.concurrency import Concurrency  # noqa: E402
from ledger_suites.crashes import Crashes  # noqa: E402
from ledger_suites.estimates import Estimates  # noqa: E402
from ledger_suites.exactly_once import ExactlyOnce  # noqa: E402
from ledger_suites.grouped import GroupedConcurrency, GroupedExactlyOnce, GroupedRefusals, ManyAtATime  # noqa: E402
from ledger_suites.metering import Metering  # noqa: E402
from ledger_suites.migrations import Migrations  # noqa: E402
from ledger_suites.refusals import Refusals  # noqa: E402
from ledger_suites.server_shares import ServerShares  # noqa: E402
from stack.ledger_fixtures import (  # noqa: E402
    ledger_postgres,
    ledger_postgres_url,
    ledger_server,
    ledger_url,
    make_ledger,
    owner_url,
)

__all__ = ["ledger_postgres", "ledger_postgres_url", "ledger_server", "ledger_url", "make_ledger", "owner_url"]


class TestExactlyOnce(ExactlyOnce):
    pass


class TestCrashes(Crashes):
    pass


class TestConcurrency(Concurrency):
    pass


class TestAudit(Audit):
    pass


class TestMetering(Metering):
    pass


class TestMigrations(Migrations):
    pass


class TestEstimates(Estimates):
    pass


class TestRefusals(Refusals):
    pass


class TestGroupedConcurrency(GroupedConcurrency):
    pass


class TestGroupedExactlyOnce(GroupedExactlyOnce):
    pass


class TestGroupedRefusals(GroupedRefusals):
    pass


class TestManyAtATime(ManyAtATime):
    pass


class TestServerShares(ServerShares):
    pass
