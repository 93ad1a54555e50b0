"""The fixtures of calls, for the asset that makes them."""

from unit.calls.conftest import fake, flow, instance, quick_retries

__all__ = ["fake", "flow", "instance", "quick_retries"]
