"""Checks, one after the other, each within its own time-outs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dagma.cli.celery_workers import BrokerError
from dagma.environment import SettingError
from dagma.execution.webserver import WebserverError
from dagma.langflow import LangflowError
from dagma.ledger import LedgerError

_SAY_THE_FIX = (BrokerError, LangflowError, LedgerError, SettingError, WebserverError)

Verdict = Literal["ok", "skipped", "FAILED"]


class Problem(Exception):  # noqa: N818 (what is wrong may be no error)
    """A check has found something; the message says what, and the fix."""


class Skipped(Exception):  # noqa: N818 (not an error: nothing is configured that could be checked)
    """There is nothing to check; the message says why."""


@dataclass(frozen=True)
class Check:
    """One question.

    Attributes:
        name: What is asked about.
        ask: Asks, within some seconds; returns what was asked and found, or raises.
        needs: Name of a check without whose success this one can only repeat its failure.
    """

    name: str
    ask: Callable[[], str]
    needs: str | None = None


def run_checks(checks: Sequence[Check]) -> Iterator[tuple[str, Verdict, str]]:
    """Run checks, of which one that needs another comes after it.

    Yields:
        Each check's name, its verdict, and what was found.
    """
    working: set[str] = set()
    for check in checks:
        verdict, said = _verdict(check, working)
        if verdict == "ok":
            working.add(check.name)
        yield check.name, verdict, said


def _verdict(check: Check, working: set[str]) -> tuple[Verdict, str]:
    if check.needs and check.needs not in working:
        return "skipped", f"{check.needs} has to work first."
    try:
        return "ok", check.ask()
    except Skipped as reason:
        return "skipped", str(reason)
    except (Problem, *_SAY_THE_FIX) as error:
        return "FAILED", str(error)
    except Exception as error:  # noqa: BLE001 (whatever goes wrong is a line, and the other checks go on)
        return "FAILED", f"{type(error).__name__}: {error}"
