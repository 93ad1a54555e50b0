from pathlib import Path

import pytest

pytest.register_assert_rewrite("ledger_suites")

from ledger_suites.fixtures import make_ledger  # noqa: E402 (after the rewriting of its assertions)

__all__ = ["make_ledger"]


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def owner_url(ledger_url: str) -> str:
    return ledger_url
