"""Every suite, for a test file of each database to import."""

from ledger_suites.audit import TestAudit
from ledger_suites.concurrency import TestConcurrency
from ledger_suites.crashes import TestCrashes
from ledger_suites.estimates import TestEstimates
from ledger_suites.exactly_once import TestExactlyOnce
from ledger_suites.grouped import (
    TestGroupedConcurrency,
    TestGroupedExactlyOnce,
    TestGroupedRefusals,
    TestManyAtATime,
)
from ledger_suites.metering import TestMetering
from ledger_suites.migrations import TestMigrations
from ledger_suites.refusals import TestRefusals
from ledger_suites.server_shares import TestServerShares

__all__ = [
    "TestAudit",
    "TestConcurrency",
    "TestCrashes",
    "TestEstimates",
    "TestExactlyOnce",
    "TestGroupedConcurrency",
    "TestGroupedExactlyOnce",
    "TestGroupedRefusals",
    "TestManyAtATime",
    "TestMetering",
    "TestMigrations",
    "TestRefusals",
    "TestServerShares",
]
