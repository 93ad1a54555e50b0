"""Fixtures for pytest: put `pytest_plugins = ["dagma.testing.fixtures"]` into the conftest.py at your tests' root."""

from collections.abc import Iterator

import pytest

from dagma.testing.fake_langflow import FakeLangflow


@pytest.fixture
def fake_langflow() -> Iterator[FakeLangflow]:
    """Give a Langflow that lives for one test."""
    with FakeLangflow() as fake:
        yield fake
