"""Fixtures for pytest: import them in a conftest.py, as in `from dagma.testing.fixtures import fake_langflow`."""

from collections.abc import Iterator

import pytest

from dagma.testing.fake_langflow import FakeLangflow


@pytest.fixture
def fake_langflow() -> Iterator[FakeLangflow]:
    """Give a Langflow that lives for one test."""
    with FakeLangflow() as fake:
        yield fake
