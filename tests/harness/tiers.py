"""The tiers of tests: their order, their marks and the table that closes a run."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

TIERS = ("unit", "contract", "stack", "browser", "chaos")
OUTCOMES = ("passed", "failed", "skipped")


def tier_of(nodeid: str) -> str:
    """The folder below tests/ that a test stands in."""
    parts = Path(nodeid.split("::", 1)[0]).parts
    return parts[1] if len(parts) > 2 and parts[1] in TIERS else "unit"


class TierReport:
    """Counts outcomes and seconds per tier, and prints them as the last lines of the run."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        tier = tier_of(report.nodeid)
        self.seconds[tier] += report.duration
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            self.outcomes[tier][report.outcome] += 1
        elif report.when == "teardown" and report.failed:
            self.outcomes[tier]["failed"] += 1

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        write("")
        write(f"{'tier':<10}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
        for tier in TIERS:
            if tier in self.outcomes:
                passed, failed, skipped = (self.outcomes[tier][outcome] for outcome in OUTCOMES)
                write(f"{tier:<10}{passed:>8}{failed:>8}{skipped:>9}{self.seconds[tier]:>9.1f}")
