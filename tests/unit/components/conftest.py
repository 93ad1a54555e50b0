"""The fixtures of batches, for tables as assets."""

from unit.batches.conftest import database, fake, flow, quick_retries

__all__ = ["database", "fake", "flow", "quick_retries"]
