"""Which of Langflow's messages, traces and files are pruned."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from dagma.calls.request import own_session
from dagma.langflow import Flow, StoredFile
from dagma.langflow.past_runs_api import PAGE, StoredRecord
from dagma.ledger import Call, input_hash
from dagma.retention.langflow_history import CALL_SESSION, LangflowPruner

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CALL = "call-0123456789abcdef0123456789abcdef"
FLOWS = ("11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000")


@dataclass
class RecordingHistory:
    """Keeps messages and traces as Langflow does: lists them from the newest, a page at a time."""

    messages: dict[str, list[StoredRecord]] = field(default_factory=lambda: {flow: [] for flow in FLOWS})
    traces: list[StoredRecord] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)
    of_others: set[str] = field(default_factory=set)
    requests: int = 0

    def add(self, days: float, session: str = CALL, flow: str = FLOWS[0], count: int = 1) -> None:
        for _ in range(count):
            record = StoredRecord(f"id-{id(object())}-{self.total}", session, NOW - timedelta(days=days))
            self.messages[flow].append(record)
            self.traces.append(record)

    @property
    def total(self) -> int:
        return sum(map(len, self.messages.values()))

    def list_flows(self) -> list[Flow]:
        return [Flow(flow, flow, None, {}) for flow in FLOWS]

    def list_messages(self, flow_id: str, *, offset: int = 0, limit: int = PAGE) -> list[StoredRecord]:
        self.requests += 1
        return newest_first(self.messages[flow_id])[offset : offset + limit]

    def delete_messages(self, message_ids: Sequence[str]) -> None:
        self.requests += 1
        doomed = set(message_ids) - self.of_others
        for flow, kept in self.messages.items():
            self.messages[flow] = [each for each in kept if each.id not in doomed]

    def list_traces(self, until: datetime, *, page: int) -> list[StoredRecord]:
        self.requests += 1
        fitting = newest_first([each for each in self.traces if each.at <= until])
        return fitting[(page - 1) * PAGE : page * PAGE]

    def delete_trace(self, trace_id: str) -> bool:
        before = len(self.traces)
        if trace_id not in self.of_others:
            self.traces = [each for each in self.traces if each.id != trace_id]
        return len(self.traces) < before

    def list_files(self) -> list[StoredFile]:
        return list(self.files)

    def delete_file(self, file_id: str) -> bool:
        before = len(self.files)
        self.files = [each for each in self.files if each.id != file_id]
        return len(self.files) < before

    def left(self, name: str = "messages") -> list[float]:
        records = [each for kept in self.messages.values() for each in kept] if name == "messages" else self.traces
        return sorted((NOW - each.at) / timedelta(days=1) for each in records)


def newest_first(records: list[StoredRecord]) -> list[StoredRecord]:
    return sorted(records, key=lambda each: (each.at, each.id), reverse=True)


@pytest.fixture
def history() -> RecordingHistory:
    return RecordingHistory()


def prune(history: RecordingHistory, days: int = 30, chats_days: int = 0) -> dict[str, int]:
    return LangflowPruner(history, days=days, chats_days=chats_days, now=NOW).prune()


def test_what_calls_have_left_goes_after_its_days(history: RecordingHistory) -> None:
    for days in (29, 31, 90):
        history.add(days)
        history.add(days, flow=FLOWS[1])
    assert prune(history) == {"messages": 4, "traces": 4, "files": 0}
    assert history.left() == history.left("traces") == [29, 29]


def test_the_session_that_a_call_gets_is_known_as_one() -> None:
    call = Call(flow_id=FLOWS[0], input_hash=input_hash("hello"), scope="run-1")
    assert CALL_SESSION.fullmatch(own_session(call.key))


@pytest.mark.parametrize(
    "session", ["", FLOWS[0], "support", "call-center", f"{CALL}0", CALL.upper(), "my-" + CALL, CALL[:-1]]
)
def test_sessions_that_others_have_named_stay(history: RecordingHistory, session: str) -> None:
    history.add(4000, session)
    assert prune(history) == {"messages": 0, "traces": 0, "files": 0}
    assert history.left() == history.left("traces") == [4000]


@pytest.mark.parametrize(
    ("ages", "limits", "gone", "left"),
    [
        ((10, 20, 100), {"days": 15, "chats_days": 90}, 3, [10, 10, 20]),
        ((5, 20), {"days": 0, "chats_days": 10}, 1, [5, 5, 20]),
    ],
    ids=["later", "sooner"],
)
def test_other_sessions_go_after_days_of_their_own(
    history: RecordingHistory, ages: tuple[int, ...], limits: dict[str, int], gone: int, left: list[int]
) -> None:
    for days in ages:
        history.add(days, "support")
        history.add(days)
    assert prune(history, **limits) == {"messages": gone, "traces": gone, "files": 0}
    assert history.left() == history.left("traces") == left


def test_zero_days_ask_langflow_nothing(history: RecordingHistory) -> None:
    history.add(4000)
    assert prune(history, days=0) == {}
    assert history.requests == 0


@pytest.mark.parametrize("young", [0, 1, PAGE, PAGE + 1, 5000])
def test_many_pages_are_pruned_between_what_stays(history: RecordingHistory, young: int) -> None:
    history.add(1, count=young)
    for days in range(31, 31 + 3 * PAGE):
        history.add(days, CALL if days % 3 else "support")
    assert prune(history) == {"messages": 2 * PAGE, "traces": 2 * PAGE, "files": 0}
    assert len(history.left()) == len(history.left("traces")) == young + PAGE


def test_what_langflow_does_not_delete_is_passed_over(history: RecordingHistory) -> None:
    history.add(31, count=2 * PAGE)
    history.of_others = {each.id for each in newest_first(history.messages[FLOWS[0]])[:5]}
    assert prune(history) == {"messages": 2 * PAGE - 5, "traces": 2 * PAGE - 5, "files": 0}
    assert len(history.left()) == len(history.left("traces")) == 5


def test_files_of_calls_go_after_their_days_and_all_others_stay(history: RecordingHistory) -> None:
    def add(name: str, days: float | None) -> None:
        at = None if days is None else NOW - timedelta(days=days)
        history.files.append(StoredFile(f"id-{len(history.files)}", name, f"user/{name}.pdf", 1, at))

    name = f"dagma-{'0a' * 16}-{'1b' * 6}"
    for days in (29, 31, None):
        add(name, days)
    add(f"{name} (1)", 31)
    for other in ("report", f"my-{name}", f"{name}-of-mine", "dagma-notes"):
        add(other, 4000)
    assert prune(history, days=0, chats_days=1) == {"messages": 0, "traces": 0, "files": 0}
    assert prune(history) == {"messages": 0, "traces": 0, "files": 2}
    assert [file.id for file in history.files] == ["id-0", "id-2", "id-4", "id-5", "id-6", "id-7"]
