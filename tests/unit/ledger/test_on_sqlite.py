"""The suites that every database has to pass, on SQLite."""

from ledger_suites.audit import Audit
from ledger_suites.concurrency import Concurrency
from ledger_suites.crashes import Crashes
from ledger_suites.estimates import Estimates
from ledger_suites.exactly_once import ExactlyOnce
from ledger_suites.grouped import GroupedConcurrency, GroupedExactlyOnce, GroupedRefusals, ManyAtATime
from ledger_suites.metering import Metering
from ledger_suites.migrations import Migrations
from ledger_suites.refusals import Refusals
from ledger_suites.server_shares import ServerShares


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
