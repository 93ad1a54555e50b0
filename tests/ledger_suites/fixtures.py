"""Fixtures on top of `ledger_url`, which each database's tests bring."""

from collections.abc import Iterator
from typing import Any

import pytest

from dagma.ledger import Ledger
from ledger_suites.tools import Clock, MakeLedger


@pytest.fixture
def make_ledger(ledger_url: str) -> Iterator[MakeLedger]:
    """Give a function that opens a ledger on the test's own database."""
    made: list[Ledger] = []

    def make(**settings: Any) -> Ledger:
        made.append(Ledger(ledger_url, **settings))
        if isinstance(clock := settings.get("clock"), Clock):
            clock.rule(ledger_url)
        return made[-1]

    yield make
    for ledger in made:
        ledger.close()
