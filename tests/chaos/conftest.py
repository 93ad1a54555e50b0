"""The stack's fixtures, and calls on it."""

import pytest
from chaos.calls import Calls
from harness.stack import Stack
from stack.conftest import Dagster, dagster

__all__ = ["calls", "dagster"]


@pytest.fixture(scope="session")
def calls(stack: Stack, dagster: Dagster) -> Calls:
    return Calls(stack, dagster)
