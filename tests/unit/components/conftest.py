"""The fixtures of batches, for tables as assets."""

from unit.batches.conftest import database, databases, fake, flow, quick_retries

__all__ = ["database", "databases", "fake", "flow", "quick_retries"]
