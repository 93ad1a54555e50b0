"""The fixtures of calls, for the asset that makes them."""

from unit.calls.conftest import fake, flow, quick_retries

__all__ = ["fake", "flow", "quick_retries"]
