"""A call as it is asked for: what, of which flow, and by whom.

Who makes a call is the run, step, partition and attempt that its key is made of, and whether the run is cancelled.
Dagster interrupts the main thread of a run's worker. Calls in other threads, and those of runs that were marked as
cancelled by force, look at the run's status.
"""

import logging
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    ASSET_RESUME_RETRY_TAG,
    AUTO_MATERIALIZE_TAG,
    AUTOMATION_CONDITION_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    RESUME_RETRY_TAG,
    RETRY_NUMBER_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
)

from dagma.calls.attached_files import FieldFiles, identity_of
from dagma.langflow import BadRequest, InputType, LangflowError, OutputType
from dagma.ledger.call import Mode
from dagma.principal_tag import PRINCIPAL_TAG

logger = logging.getLogger(__name__)

OWN_SESSION = "call-"
"""How the names of sessions begin that calls have of their own."""
CallMode = Literal["auto", Mode]
OnUnknown = Literal["fail", "resend", "give_up"]
"""What becomes of a call of which nobody can tell whether it was answered: fail, and look again at the next retry; send
it again, which may pay twice; or fail, at each retry too."""

# How old the status of a run may be that a call goes by: a batch of short calls asks once a second.
FRESH_SECONDS = 1.0
# How often the status is looked at while a job runs.
POLL_SECONDS = 2.0

# When each run was looked at, and whether it was cancelled.
_SEEN: WeakKeyDictionary[dg.DagsterInstance, dict[str, tuple[float, bool]]] = WeakKeyDictionary()
# By Dagster's context of each attempt of a step: they are forgotten with it.
_CALLERS: "WeakKeyDictionary[object, Caller]" = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class CallRequest:
    """One input for one flow. The attributes are what `Backend.run_flow` takes.

    Attributes:
        flow_id: The flow, as the caller names it.
        session_id: A backend always gets one: where the caller names none, or only blanks, the call's own.
        files: Files by the field that takes them. By their contents they decide the answer.
    """

    flow_id: str
    input_value: str
    output_type: OutputType = "chat"
    input_type: InputType = "chat"
    tweaks: dict[str, Any] | None = None
    session_id: str | None = None
    stream: bool = False
    mode: CallMode | None = None
    row: str | None = None
    files: FieldFiles | None = None
    on_unknown: OnUnknown | None = None

    def __post_init__(self) -> None:
        for name in ("flow_id", "input_value"):
            if not isinstance(value := getattr(self, name), str):
                raise BadRequest(f"{name} must be a text, not {type(value).__name__}.")
        for name, kind in (("mode", CallMode), ("on_unknown", OnUnknown)):
            if getattr(self, name) not in (None, *get_args(kind)):
                raise BadRequest(f"{name} must be one of {', '.join(get_args(kind))}.")
        # Both are often ids that are numbers.
        object.__setattr__(self, "session_id", named_session(self.session_id))
        object.__setattr__(self, "row", None if self.row is None else str(self.row))

    def deciding(self) -> dict[str, Any]:
        """Give what decides the answer, and so makes two calls equal: not the way in which it is sent."""
        return {
            "input_value": self.input_value,
            "output_type": self.output_type,
            "input_type": self.input_type,
            "tweaks": self.tweaks,
            "session_id": self.session_id,
            **({"files": identity_of(self.files)} if self.files else {}),
        }

    def in_its_own_session(self, key: str) -> "CallRequest":
        """Keep a call apart from all others by its key, unless its caller names a session.

        Langflow would use one session for all calls of a flow: memory would tell one call what another has said, and
        the author would find them all in a session of their own. A retry has the session of the call that it retries,
        so that what became of that can be found there.
        """
        return self if self.session_id is not None else replace(self, session_id=own_session(key))


@dataclass(frozen=True)
class FlowReference:
    """What people and the ledger need to recognize a flow.

    Attributes:
        flow_id: Its id, or the name by which it was called where the id is not known.
        url: Its page.
        endpoint_name: The name that calls may use in place of the id.
        needs_job: Whether it can only run as a job, as a flow that asks a human.
        look_up_error: Why it could not be looked up, where that was tried.
        document: The flow as its server stores it, with the fields that tweaks can set; None where that is not known.
    """

    flow_id: str
    name: str | None = None
    url: str | None = None
    endpoint_name: str | None = None
    version: str | None = None
    needs_job: bool = False
    look_up_error: LangflowError | None = None
    document: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)


class FlowNotIdentified(LangflowError):  # noqa: N818 (as the errors that it stands beside)
    """A quota may be for this flow, and whether it is can't be told, because the flow could not be looked up."""

    default_outcome = "not_run"


class EqualCalls:
    """Tells equal calls of one attempt of a step apart: the second one is a call of its own, no retry of the first.

    A step that is retried counts from the beginning again, so that its calls find those of the attempt before.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def number(self, key: str) -> int:
        """Count a call, and tell how many with the same key came before it."""
        with self._lock:
            self._counts[key] += 1
            return self._counts[key] - 1


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A step of a run, or a program without Dagster.

    Attributes:
        scope: What a retry shares with the run it retries, and a run from scratch with no other.
        log: Where to tell people what happens.
        retry_number: How often the step was retried within its run.
        principal: Who asked, as `principal_of` says.
        equal_calls: Tells equal calls of the step's attempt apart, whichever backend objects they go through.
    """

    scope: str
    log: Any
    run_id: str | None = None
    step: str | None = None
    partition: str | None = None
    retry_number: int = 0
    principal: str = "program"
    instance: dg.DagsterInstance | None = None
    equal_calls: EqualCalls = field(default_factory=EqualCalls, repr=False, compare=False)

    @classmethod
    def current(cls, context: dg.InitResourceContext | None) -> "Caller":
        """Find out who calls, by the step that executes, or by what the resource was initialized with.

        A thread that user code starts does not know its step, unless it runs in a copy of the step's context
        (`contextvars.copy_context().run`); a backend that Dagster initialized still knows the run there.
        """
        try:
            step = dg.OpExecutionContext.get()
        except dg.DagsterInvariantViolationError:
            step = None
        known = step or context
        if known is None or known.run is None or known.instance is None:
            return cls(scope=uuid.uuid4().hex, log=logger)
        attempt = step.get_step_execution_context() if step else None
        if attempt in _CALLERS:  # what a run retries takes many queries, and a step may make many calls
            return _CALLERS[attempt]
        caller = cls(
            scope=scope_of(known.run, known.instance),
            log=known.log or logger,
            run_id=known.run.run_id,
            step=attempt.step.key if attempt else None,
            partition=_partition(known.run),
            retry_number=step.retry_number if step else 0,
            principal=principal_of(known.run),
            instance=known.instance,
        )
        return _CALLERS.setdefault(attempt, caller) if attempt else caller

    def is_cancelled(self, fresh_seconds: float = 0.0) -> bool:
        """Tell a user's cancel from a worker that is shut down, by what was seen so many seconds ago."""
        if self.instance is None or self.run_id is None:
            return False
        known = _SEEN.setdefault(self.instance, {})
        seen_at, found = known.get(self.run_id, (float("-inf"), False))
        if not found and time.monotonic() - seen_at >= fresh_seconds:
            run = self.instance.get_run_by_id(self.run_id)
            found = run is not None and run.status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)
            known[self.run_id] = (time.monotonic(), found)
        return found

    def sees_cancel(self) -> bool:
        """Tell of a cancel up to a second late, and never raise: for callers that ask often."""
        # Nobody else can cancel a run in memory, and looking at it locks its tables for the thread that executes it.
        if self.instance is None or self.instance.is_ephemeral:
            return False
        try:
            return self.is_cancelled(FRESH_SECONDS)
        except Exception as error:  # noqa: BLE001 (a call does not fail because Dagster's database is away)
            logger.warning("Whether run %s is cancelled can't be told: %s", self.run_id, error)
            return False

    def stop_if_cancelled(self) -> None:
        """Raise the interrupt of a cancel, which Dagster raises in the run's main thread only."""
        if self.sees_cancel():
            raise dg.DagsterExecutionInterruptedError("The run is cancelled.")

    @contextmanager
    def stopping_on_cancel(self, stop: Callable[[], object]) -> Iterator[None]:
        """Stop a job as soon as the run is cancelled, while the block waits for it."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(POLL_SECONDS):
                if not self.sees_cancel():
                    continue
                try:
                    stop()
                except LangflowError as error:
                    logger.warning("The run is cancelled, and its job could not be stopped yet: %s", error)
                else:
                    return

        threading.Thread(target=watch, name="dagma-cancel-watch", daemon=True).start()
        try:
            yield
        finally:
            over.set()


def named_session(session_id: str | None) -> str | None:
    """Give the session that a caller names; None for blanks, which Langflow would take for one that all calls share."""
    text = "" if session_id is None else str(session_id)
    return text if text.strip() else None


def own_session(key: str) -> str:
    """Name the session of a call whose caller names none, by its key."""
    return f"{OWN_SESSION}{key[:32]}"


def is_own_session(session_id: str) -> bool:
    """Tell a session that `own_session` has named from one that a caller names, such as `call-center-7`."""
    return re.fullmatch(f"{OWN_SESSION}[0-9a-f]{{32}}", session_id) is not None


def principal_of(run: dg.DagsterRun) -> str:
    """Tell who asked for a run, by its tags.

    The tag `dagma/principal` is proved where a gateway stands before Dagster's webserver, which then sets it itself.
    Without one, it is what whoever launched the run claims.

    Returns:
        What the tag `dagma/principal` says; else `schedule:NAME`, `sensor:NAME`, `automation` or `backfill:ID`; else
        `ui` for a run that Dagster's webserver launched, and `program` for one that a program executes in its process.
    """
    if principal := run.tags.get(PRINCIPAL_TAG):
        return principal
    for kind, tag in (("schedule", SCHEDULE_NAME_TAG), ("sensor", SENSOR_NAME_TAG)):
        if name := run.tags.get(tag):
            return f"{kind}:{name}"
    if AUTOMATION_CONDITION_TAG in run.tags or AUTO_MATERIALIZE_TAG in run.tags:
        return "automation"
    if backfill := run.tags.get(BACKFILL_ID_TAG):
        return f"backfill:{backfill}"
    return "ui" if run.remote_job_origin is not None else "program"


def scope_of(run: dg.DagsterRun, instance: dg.DagsterInstance) -> str:
    """Give the id of the run that this one retries, however often: they share their calls. Its own if it retries none.

    `root_run_id` is not it: the retry of a run that was itself executed again from scratch has the first run's.
    """
    while run.parent_run_id and (RETRY_NUMBER_TAG in run.tags or RESUME_RETRY_TAG in run.tags or _resumes_assets(run)):
        parent = instance.get_run_by_id(run.parent_run_id)
        if not _retries(run, parent, instance):
            break
        if parent is None:
            return run.parent_run_id
        run = parent
    return run.run_id


def _retries(run: dg.DagsterRun, parent: dg.DagsterRun | None, instance: dg.DagsterInstance) -> bool:
    if RETRY_NUMBER_TAG in run.tags or RESUME_RETRY_TAG in run.tags:
        return True
    # Dagster hands this tag on to whatever is executed again later, "All steps" included (1.13).
    if parent is None or not _resumes_assets(parent):
        return True
    return run.asset_selection == _assets_to_resume(parent, instance)


def _resumes_assets(run: dg.DagsterRun) -> bool:
    """Tell a run that "From asset failure" made, or one that inherited that run's tags."""
    return run.tags.get(ASSET_RESUME_RETRY_TAG) == "true"


def _assets_to_resume(run: dg.DagsterRun, instance: dg.DagsterInstance) -> Set[dg.AssetKey] | None:
    """Ask Dagster what "From asset failure" would execute of a run; None where the run's plan is gone."""
    if run.execution_plan_snapshot_id is None:
        return None
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    assets, _checks = instance.run_domain.get_keys_to_reexecute(run.run_id, plan)
    return assets


def _partition(run: dg.DagsterRun) -> str | None:
    start, end = run.tags.get(ASSET_PARTITION_RANGE_START_TAG), run.tags.get(ASSET_PARTITION_RANGE_END_TAG)
    return f"{start}...{end}" if start and end else run.tags.get(PARTITION_NAME_TAG)
