"""What runs side by side where several processes share the tests: each lane goes to one of them, test by test."""

from pathlib import PurePath
from typing import Any

from xdist.scheduler import LoadScopeScheduling

from harness.tiers import tier_of

# Files of tests/stack that ask nothing of the test stack: what they start is their own.
OF_THEIR_OWN = (
    *("test_broker", "test_dev", "test_env_file", "test_gateway_acme", "test_gateway_changes", "test_gateway_login"),
    *("test_gateway_provider", "test_gateway_routes", "test_gateway_tokens", "test_make", "test_storage"),
)
# Files that ask a second test stack, where there are several processes: so none waits long for the others at the end.
OF_THE_SECOND = (
    *("test_doctor", "test_durable", "test_health", "test_outbound", "test_recovery"),
    *("test_run_config", "test_schedules", "test_secrets"),
)
# What takes longest is begun first, and what takes seconds last, so that none waits for another at the end.
FIRST = ("stack", "tests/stack/test_make.py", "second stack", "tests/stack/test_dev.py", "postgres")


def lane_of(nodeid: str) -> str:
    """What a test shares with others: a test stack, a PostgreSQL server, or no more than its file's fixtures."""
    file = nodeid.split("::", 1)[0]
    name = PurePath(file).stem
    if name.startswith("test_ledger_postgres"):
        return "postgres"
    if tier_of(nodeid) not in ("contract", "stack", "browser") or name in OF_THEIR_OWN:
        return file
    return "second stack" if tier_of(nodeid) == "browser" or name in OF_THE_SECOND else "stack"


def place_of(nodeid: str) -> int:
    """When a test's lane is begun."""
    lane = lane_of(nodeid)
    return FIRST.index(lane) if lane in FIRST else len(FIRST) + (tier_of(nodeid) == "unit")


class Lanes(LoadScopeScheduling):  # type: ignore[misc]
    """Gives out lanes, in the order of the tests."""

    def __init__(self, config: Any, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid)
