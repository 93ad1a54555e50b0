"""Checks that run side by side, within a time that is bounded."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
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


@dataclass(frozen=True)
class Result:
    """What came of a check."""

    verdict: Verdict
    said: str


def run_checks(checks: Sequence[Check], *, seconds: float) -> Iterator[tuple[str, Result]]:
    """Run all checks at once.

    Args:
        checks: The checks; one that needs another comes after it.
        seconds: How long all of them may take together. One that is not done then has failed, and is left behind.

    Yields:
        Each check's name and result, in their order, as soon as it is there.
    """
    deadline = time.monotonic() + seconds
    results: dict[str, Future[Result]] = {}
    for check in checks:
        results[check.name] = result = Future[Result]()
        needed = results[check.needs] if check.needs else None
        # Not a pool: it would wait for its threads when the process ends.
        threading.Thread(target=_run, args=(check, needed, result), name=check.name, daemon=True).start()
    for name, result in results.items():
        try:
            yield name, result.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            yield name, Result("FAILED", f"There was no answer within {seconds:g} s. Look at the stack: `make ps`.")


def _run(check: Check, needed: "Future[Result] | None", result: "Future[Result]") -> None:
    if needed is not None and needed.result().verdict != "ok":
        result.set_result(Result("skipped", f"{check.needs} has to work first."))
        return
    try:
        result.set_result(Result("ok", check.ask()))
    except Skipped as reason:
        result.set_result(Result("skipped", str(reason)))
    except (Problem, *_SAY_THE_FIX) as error:
        result.set_result(Result("FAILED", str(error)))
    except Exception as error:  # noqa: BLE001 (whatever goes wrong is a line, and the other checks go on)
        result.set_result(Result("FAILED", f"{type(error).__name__}: {error}"))
