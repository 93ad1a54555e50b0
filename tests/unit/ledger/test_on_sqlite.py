"""The suites that every database has to pass, on SQLite."""

from ledger_suites.concurrency import Concurrency
from ledger_suites.crashes import Crashes
from ledger_suites.exactly_once import ExactlyOnce


class TestExactlyOnce(ExactlyOnce):
    pass


class TestCrashes(Crashes):
    pass


class TestConcurrency(Concurrency):
    pass
