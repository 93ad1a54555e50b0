"""A suite that tells whether a backend keeps the contract: subclass it in your tests, and give it two backends.

    from dagma.testing.backend_conformance import BackendConformance

    class TestMyBackend(BackendConformance):
        @pytest.fixture
        def backend(self) -> Backend:
            return MyBackend()

        @pytest.fixture
        def failing_backend(self) -> Backend:
            return MyBackend(url="http://127.0.0.1:1")

Every test has a ledger of its own on SQLite.
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
from dagma.calls.retrying import CALL_ERRORS
from dagma.defs.llm.assets import langflow_run_flow
from dagma.langflow import LangflowError
from dagma.ledger import LedgerSettings, QuotaExceededError
from dagma.ledger.reports import all_calls

INPUT = "What is the capital of France?"


@dataclass(frozen=True)
class Asked:
    """What came of calls.

    Attributes:
        calls: Those with an answer.
        error: What ended them early.
    """

    calls: Sequence[CallRecord]
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
        call = asked(lambda: backend.run_flow(INPUT)).call
        assert isinstance(call.response, dict)
        assert json.loads(json.dumps(call.response)) == call.response
        assert call.answer.text is not None or call.answer.outputs
        assert backend.read(call.response) == call.answer

    def test_calls_that_name_no_flow_have_one(self, backend: Backend) -> None:
        """The asset would be skipped otherwise."""
        assert backend.default_flow()

    def test_a_flow_is_referred_to_without_raising(self, backend: Backend) -> None:
        """Failures link to the flow too."""
        assert backend.look_up("no-such-flow").flow_id

    def test_a_call_is_one_row_of_the_ledger(self, backend: Backend) -> None:
        """Who asked what, and how it ended."""
        call = asked(lambda: backend.run_flow(INPUT)).call
        (row,) = rows()
        assert (row["id"], row["state"], row["backend"]) == (call.begun.call_id, "answered", backend.backend_name)
        assert (row["input_text"], row["answer_text"]) == (INPUT, call.answer.text)
        assert row["flow_id"] == call.flow.flow_id

    def test_a_retried_step_gets_the_answer_without_asking_again(self, backend: Backend) -> None:
        """Nothing is paid for twice."""
        calls: list[CallRecord] = []

        @dg.op(required_resource_keys={"backend"})
        def step(context: dg.OpExecutionContext) -> None:
            calls.append(asked(lambda: context.resources.backend.run_flow(INPUT)).call)
            if len(calls) == 1:
                raise dg.RetryRequested(max_retries=1)

        @dg.job(resource_defs={"backend": backend}, executor_def=dg.in_process_executor)
        def run() -> None:
            step()

        assert run.execute_in_process().success
        first, again = calls
        assert (first.origin, again.origin) == ("sent", "replayed")
        assert (again.response, again.answer) == (first.response, first.answer)

    def test_a_call_over_quota_is_not_sent(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        """Quotas bound every backend."""
        monkeypatch.setenv("DAGMA_QUOTAS", "calls=1/month")
        made = asked(lambda: [backend.run_flow(f"{INPUT} {number}") for number in range(2)])
        assert isinstance(made.error, QuotaExceededError)
        assert len(made.calls) == 1

    def test_a_call_that_fails_raises_a_typed_error_and_is_recorded(self, failing_backend: Backend) -> None:
        """The error says whether the call may have to be paid; the ledger knows the same."""
        made = asked(lambda: failing_backend.run_flow(INPUT))
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


def asked(ask: Callable[[], Any]) -> Asked:
    """Make calls, and return what came of them."""
    error = None
    with record_calls() as recorded:
        try:
            ask()
        except CALL_ERRORS as raised:
            error = raised
    return Asked(recorded.answered, error)


def rows() -> list[dict[str, Any]]:
    """Read the ledger, the oldest call first."""
    return [dict(row) for row in all_calls(LedgerSettings.from_environment().open().database)]
