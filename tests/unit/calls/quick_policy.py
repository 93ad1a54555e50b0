"""The policy of the backend that tests make: pytest has modules of its own of conftest.py, so it stands apart."""

from typing import Any

import pytest

from dagma.calls.call_policy import CallPolicy

_CHANGES: dict[str, Any] = {}


def set_policy(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Change the policy for one test."""
    for name, value in changes.items():
        monkeypatch.setitem(_CHANGES, name, value)


def policy() -> CallPolicy:
    """The policy of this test."""
    return CallPolicy(**_CHANGES)
