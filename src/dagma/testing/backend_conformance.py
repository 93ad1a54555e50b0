"""A suite that tells whether a backend keeps the contract: subclass it in your tests, and give it two backends.

    from dagma.testing.backend_conformance import BackendConformance

    class TestMyBackend(BackendConformance):
        @pytest.fixture
        def backend(self) -> Backend:
            return MyBackend()

        @pytest.fixture
        def failing_backend(self) -> Backend:
            return MyBackend(url="http://127.0.0.1:1")

Every test runs the backend in Dagster, over a ledger of its own on SQLite.
"""

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagma.backends.backend import Backend
from dagma.calls.call_record import CallRecord, record_calls
from dagma.calls.request import CallRequest
from dagma.calls.retrying import CALL_ERRORS
from dagma.defs.llm.assets import langflow_run_flow
from dagma.langflow import LangflowError
from dagma.ledger import LedgerSettings, QuotaExceededError
from dagma.ledger.reports import all_calls

INPUT = "What is the capital of France?"


@dataclass(frozen=True)
class Made:
    """What came of the calls of a step.

    Attributes:
        calls: Those with an answer.
        sent: What the backend was asked for, in order; answers from the ledger are not asked for.
        error: What ended the step early.
    """

    calls: Sequence[CallRecord]
    sent: Sequence[CallRequest]
    error: Exception | None

    @property
    def call(self) -> CallRecord:
        """The only call."""
        (call,) = self.calls
        return call


class BackendConformance:
    """The contract of a backend, as tests."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Give a backend that answers. Override it."""
        raise NotImplementedError("Give a fixture `backend` that returns a backend which answers.")

    @pytest.fixture
    def failing_backend(self) -> Backend:
        """Give a backend of the same class whose every call fails. Override it."""
        raise NotImplementedError("Give a fixture `failing_backend` that returns a backend whose every call fails.")

    @pytest.fixture(autouse=True)
    def _ledger(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DAGMA_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
        monkeypatch.setenv("DAGMA_LEDGER_TEXTS", "full")
        for name in ("DAGMA_LEDGER_ON_UNKNOWN", "DAGMA_QUOTAS", "DAGMA_RECORD_TEXTS"):
            monkeypatch.delenv(name, raising=False)

    def test_the_signature_is_that_of_the_contract(self, backend: Backend) -> None:
        """`run_flow` takes what every caller gives it."""
        wanted, given = (inspect.signature(each.run_flow).parameters for each in (Backend, type(backend)))
        assert [(name, each.default) for name, each in given.items()] == [
            (name, each.default) for name, each in wanted.items()
        ]

    def test_the_response_is_a_json_object_with_an_answer(self, backend: Backend) -> None:
        """What is stored for a retry is what the first caller got."""
        call = make(backend, lambda: backend_of_step().run_flow(INPUT)).call
        assert isinstance(call.response, dict)
        assert json.loads(json.dumps(call.response)) == call.response
        assert call.answer.text is not None or call.answer.outputs
        assert backend.read(call.response) == call.answer

    def test_calls_that_name_no_flow_have_one(self, backend: Backend) -> None:
        """The asset would be skipped otherwise."""
        assert backend.default_flow()

    def test_a_flow_is_referred_to_without_raising(self, backend: Backend) -> None:
        """Failures link to the flow too."""
        assert backend.refer_to("no-such-flow").flow_id == "no-such-flow"
        assert backend.look_up("no-such-flow").flow_id

    def test_a_call_is_one_row_of_the_ledger(self, backend: Backend) -> None:
        """Who asked what, and how it ended."""
        call = make(backend, lambda: backend_of_step().run_flow(INPUT)).call
        (row,) = rows()
        assert (row["id"], row["state"], row["backend"]) == (call.begun.call_id, "answered", backend.backend_name)
        assert (row["step"], row["input_text"], row["answer_text"]) == ("step", INPUT, call.answer.text)
        assert row["flow_id"] == call.flow.flow_id

    def test_a_retried_step_gets_the_answer_without_asking_again(self, backend: Backend) -> None:
        """Nothing is paid for twice."""
        made = make(backend, lambda: backend_of_step().run_flow(INPUT), retries=1)
        first, again = made.calls
        assert len(made.sent) == 1
        assert (first.origin, again.origin) == ("sent", "replayed")
        assert (again.response, again.answer) == (first.response, first.answer)

    def test_equal_calls_of_a_step_are_calls_of_their_own(self, backend: Backend) -> None:
        """Asking a model twice is not a retry."""
        made = make(backend, lambda: [backend_of_step().run_flow(INPUT) for _ in range(2)])
        assert len(made.sent) == 2
        assert len(rows()) == 2

    def test_every_choice_reaches_the_backend(self, backend: Backend) -> None:
        """Session, types and the wish to stream."""
        made = make(backend, lambda: backend_of_step().run_flow(INPUT, session_id="a-session", stream=True))
        (request,) = made.sent
        assert (request.input_value, request.session_id, request.stream) == (INPUT, "a-session", True)
        assert (request.input_type, request.output_type) == ("chat", "chat")

    def test_a_call_over_quota_is_not_sent(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        """Quotas bound every backend."""
        monkeypatch.setenv("DAGMA_QUOTAS", "calls=1/month")
        made = make(backend, lambda: [backend_of_step().run_flow(f"{INPUT} {number}") for number in range(2)])
        assert isinstance(made.error, QuotaExceededError)
        assert len(made.sent) == 1

    def test_a_call_that_fails_raises_a_typed_error_and_is_recorded(self, failing_backend: Backend) -> None:
        """The error says whether the call may have to be paid; the ledger knows the same."""
        made = make(failing_backend, lambda: backend_of_step().run_flow(INPUT))
        assert isinstance(made.error, LangflowError)
        assert made.error.cause
        assert made.error.fix
        (row,) = rows()
        assert row["state"] == ("unknown" if made.error.outcome == "unknown" else "failed")
        assert row["error_class"] == type(made.error).__name__

    def test_the_asset_materializes_the_answer(self, backend: Backend) -> None:
        """The asset is the same for all backends."""
        result = dg.materialize([langflow_run_flow], resources={"backend": backend})
        (event,) = result.get_asset_materialization_events()
        metadata = {label: entry.value for label, entry in event.materialization.metadata.items()}
        (row,) = rows()
        assert metadata["status"] == "completed"
        assert row["answer_text"] in (None, metadata["answer"])
        assert metadata["call_id"] == row["id"]
        assert metadata["flow_id"] == row["flow_id"]


def backend_of_step() -> Backend:
    """Give the backend as the step of `make` has it: Dagster copies what it is given."""
    backend: Backend = dg.OpExecutionContext.get().resources.backend
    return backend


def make(backend: Backend, work: Callable[[], Any], *, retries: int = 0) -> Made:
    """Make calls inside a step of a run.

    Args:
        backend: The backend.
        work: Makes the calls, with `backend_of_step()`.
        retries: How often to retry the step after its calls are answered.

    Returns:
        What came of it.
    """
    calls: list[CallRecord] = []
    sent: list[CallRequest] = []
    errors: list[Exception] = []

    @dg.op(required_resource_keys={"backend"})
    def step(context: dg.OpExecutionContext) -> None:
        with record_calls() as recorded:
            try:
                work()
            except CALL_ERRORS as error:
                errors.append(error)
        calls.extend(recorded.answered)
        if context.retry_number < retries:
            raise dg.RetryRequested(max_retries=retries)

    @dg.job(resource_defs={"backend": backend}, executor_def=dg.in_process_executor)
    def run() -> None:
        step()

    kind = type(backend)
    original = kind.answer

    def answer(self: Backend, request: CallRequest) -> dict[str, Any]:
        sent.append(request)
        return original(self, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "answer", answer)
        assert run.execute_in_process().success
    return Made(calls, sent, errors[0] if errors else None)


def rows() -> list[dict[str, Any]]:
    """Read the ledger, the oldest call first."""
    return [dict(row) for row in all_calls(LedgerSettings.from_environment().open().database)]
