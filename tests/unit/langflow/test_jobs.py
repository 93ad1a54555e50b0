"""Background jobs on a server that fails, restarts, forgets and lies."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from unit.langflow.conftest import MakeClient

from dagma.langflow import (
    Access,
    CallTimeout,
    JobCancelled,
    JobLost,
    JobPolicy,
    LangflowClient,
    LangflowError,
    MalformedResponse,
    RetryPolicy,
    ServerError,
    Unreachable,
)
from dagma.langflow.jobs_api import bound_key
from dagma.testing import FakeCall, FakeLangflow, Fault

HANGING = 20.0
EVENTS = "/events"


class Gate:
    """A flow that waits until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.calls = 0

    def __call__(self, call: FakeCall) -> str:
        self.calls += 1
        self.entered.set()
        assert self.opened.wait(HANGING), "Nobody opened the gate."
        return call.input_value


@pytest.fixture
def gate(fake_langflow: FakeLangflow) -> Gate:
    return Gate()


@pytest.fixture
def gated(fake_langflow: FakeLangflow, gate: Gate) -> str:
    return fake_langflow.add_flow("gated", gate)


def after(seconds: float, act: Callable[[], object]) -> None:
    threading.Timer(seconds, act).start()


def submissions(fake: FakeLangflow) -> int:
    return len(
        [request for request in fake.requests if (request.method, request.path) == ("POST", "/api/v2/workflows")]
    )


# Submit


@pytest.mark.parametrize(
    "fault",
    [
        Fault(after_work=True, drop=True),
        Fault(after_work=True, status=502),
        Fault(after_work=True, status=500, body="<html>"),
        Fault(status=409, body={"detail": {"code": "DUPLICATE_REQUEST"}}),
        Fault(status=429, headers={"Retry-After": "0"}),
    ],
    ids=["drop", "502", "500", "duplicate", "429"],
)
def test_a_submission_whose_answer_is_lost_is_repeated_and_finds_its_job(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, fault: Fault
):
    client = make_client(timeout=HANGING)
    fake_langflow.script(fault)
    job_id = client.submit(echo, "hello", timeout=HANGING)
    assert client.collect(job_id).answer == "hello"
    assert submissions(fake_langflow) == 2
    assert len(fake_langflow.jobs) == 1


@pytest.mark.parametrize("body", ["<html>Log in</html>", {}, {"job_id": None}, {"job_id": 7}, {"job_id": ""}])
def test_a_submission_without_an_id_is_malformed(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str, body: object
):
    fake_langflow.script(Fault(status=200, body=body))
    with pytest.raises(MalformedResponse):
        client.submit(echo, "hello")


def test_a_bound_key_depends_on_key_and_payload_and_has_langflows_length():
    keys = {bound_key(key, body) for key in ("a", "b", "a" * 999) for body in ({}, {"x": 1}, {"x": "1"})}
    assert len(keys) == 9
    assert all(len(key) <= 255 for key in keys)
    assert bound_key("a", {"x": 1, "y": 2}) == bound_key("a", {"y": 2, "x": 1})


# Follow


def test_events_arrive_while_the_job_runs(client: LangflowClient, gate: Gate, gated: str):
    stream = client.follow(client.submit(gated, "hello"))
    kinds = [next(stream).kind for _ in range(4)]
    assert gate.entered.wait(HANGING)
    assert "finished" not in kinds
    gate.opened.set()
    assert [event.kind for event in stream][-1] == "finished"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(drop=True),
        Fault(status=502),
        Fault(status=200, body="no events"),
        Fault(status=200, body="data: no JSON\n\n"),
        Fault(status=200, body="data: [1]\n\n"),
        Fault(status=200, body=b"data: \xff\n\n"),
        Fault(status=200, body=""),
        Fault(status=200, body=": keepalive\n\n"),
        Fault(stall_after=10),
        Fault(cut_after=300),
        Fault(delay=0.8),
        Fault(status=302, headers={"Location": "/login"}),
    ],
    ids=[
        *("drop", "502", "no events", "no JSON", "no object", "no UTF-8", "empty", "only comments", "stall", "cut"),
        *("silence", "redirect"),
    ],
)
def test_a_stream_that_fails_is_opened_again_and_no_event_is_lost_or_repeated(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str, gate: Gate, gated: str, fault: Fault
):
    expected = [(event.kind, event.id) for event in client.follow(client.submit(echo, "hello"))]
    fake_langflow.script(replace(fault, path=EVENTS))
    running = client.submit(gated, "hello")
    after(1.5, gate.opened.set)
    assert [(event.kind, event.id) for event in client.follow(running)] == expected


def test_no_event_is_lost_after_whichever_the_stream_is_resumed(client: LangflowClient, echo: str):
    job_id = client.submit(echo, "hello")
    events = [(event.kind, event.component, event.id) for event in client.follow(job_id)]
    for event_id in {event_id for _, _, event_id in events}:
        rest = [(event.kind, event.component, event.id) for event in client.follow(job_id, event_id)]
        assert rest == [event for event in events if int(event[2] or 0) > int(event_id or 0)]


def test_a_stream_that_lastingly_holds_nonsense_is_opened_ever_more_seldom(
    fake_langflow: FakeLangflow, make_client: MakeClient, gate: Gate, gated: str
):
    client = make_client(jobs=JobPolicy(total=2.5, poll=2.0))
    job_id = client.submit(gated, "hello")
    assert gate.entered.wait(HANGING)
    fake_langflow.script(Fault(path=EVENTS, status=200, body="data: no JSON\n\n", times=0))
    with pytest.raises(CallTimeout):
        list(client.follow(job_id))
    gate.opened.set()
    # After 0.1, 0.2, 0.4, 0.8 and 1.6 s.
    assert [request.path.endswith(EVENTS) for request in fake_langflow.requests].count(True) <= 7


def test_a_job_whose_events_never_come_is_polled_to_its_end(
    fake_langflow: FakeLangflow, client: LangflowClient, gate: Gate, gated: str
):
    fake_langflow.script(Fault(path=EVENTS, status=500, times=0))
    job_id = client.submit(gated, "hello")
    after(0.5, gate.opened.set)
    assert list(client.follow(job_id)) == []
    assert client.collect(job_id).answer == "hello"


def test_a_job_whose_events_tell_its_end_is_looked_at_once(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str
):
    job_id = client.submit(echo, "hello")
    list(client.follow(job_id))
    assert client.collect(job_id).answer == "hello"
    assert [request.path for request in fake_langflow.requests] == [
        "/api/v2/workflows",
        f"/api/v2/workflows/{job_id}/events",
        "/api/v2/workflows",
        f"/api/v1/monitor/traces/{job_id}",
    ]


# What Langflow answers for a good key while its database is away.
KEY_UNCHECKED = Fault(status=403, body={"detail": "API key authentication failed"})


@pytest.mark.parametrize("outage", [Fault(drop=True), KEY_UNCHECKED], ids=["of Langflow", "of Langflow's database"])
def test_an_outage_shorter_than_the_patience_is_waited_out(
    fake_langflow: FakeLangflow, make_client: MakeClient, gate: Gate, gated: str, outage: Fault
):
    client = make_client(jobs=JobPolicy(outage=HANGING, poll=0.1, stall=0.5))
    job_id = client.submit(gated, "hello")
    assert gate.entered.wait(HANGING)
    fake_langflow.script(replace(outage, path="/workflows", method="GET", times=0))
    after(0.3, gate.opened.set)
    after(0.8, fake_langflow.clear)
    list(client.follow(job_id))
    assert client.collect(job_id).answer == "hello"
    assert gate.calls == 1


@pytest.mark.parametrize("act", ["follow", "collect"])
def test_an_outage_longer_than_the_patience_is_unreachable(
    fake_langflow: FakeLangflow, client: LangflowClient, gate: Gate, gated: str, act: str
):
    job_id = client.submit(gated, "hello")
    fake_langflow.script(Fault(path="/workflows", method="GET", drop=True, times=0))
    with pytest.raises(Unreachable):
        list(getattr(client, act)(job_id))
    gate.opened.set()


@pytest.mark.parametrize("seconds", ["15", "100"], ids=["within a look's time", "beyond it"])
@pytest.mark.parametrize("act", ["follow", "collect"])
def test_a_server_that_asks_for_a_longer_wait_than_the_patience_does_not_get_it(
    fake_langflow: FakeLangflow, make_client: MakeClient, gate: Gate, gated: str, act: str, seconds: str
):
    client = make_client(timeout=60.0, jobs=JobPolicy(total=60.0, outage=0.5, stall=0.5, poll=0.1))
    job_id = client.submit(gated, "hello")
    refusal = Fault(path="/workflows", method="GET", status=503, headers={"Retry-After": seconds}, times=0)
    fake_langflow.script(refusal)
    started = time.monotonic()
    with pytest.raises(ServerError) as caught:
        list(getattr(client, act)(job_id))
    assert caught.value.outcome == "unknown", "the look was refused, and the job runs"
    assert time.monotonic() - started < 12.0
    gate.opened.set()


@pytest.mark.parametrize("act", ["follow", "collect"])
def test_a_look_at_a_job_ends_with_the_time_of_who_waits(
    fake_langflow: FakeLangflow, make_client: MakeClient, gate: Gate, gated: str, act: str
):
    client = make_client(timeout=HANGING, retry=RetryPolicy(attempts=1))
    job_id = client.submit(gated, "hello")
    fake_langflow.script(Fault(path="/workflows", method="GET", delay=2 * HANGING, times=0))
    started = time.monotonic()
    with pytest.raises(CallTimeout, match=r"not over after 0\.2 s.*collect it later") as caught:
        list(getattr(client, act)(job_id, timeout=0.2))
    assert time.monotonic() - started < HANGING
    assert caught.value.outcome == "unknown"
    gate.opened.set()


def test_a_job_that_is_over_is_collected_in_no_time_at_all(client: LangflowClient, echo: str):
    job_id = client.submit(echo, "hello")
    client.collect(job_id)
    assert client.collect(job_id, timeout=0.0).answer == "hello"


@pytest.mark.parametrize("act", ["follow", "collect"])
def test_a_job_that_outlasts_the_deadline_is_a_time_out_and_goes_on(
    client: LangflowClient, gate: Gate, gated: str, act: str
):
    job_id = client.submit(gated, "hello")
    with pytest.raises(CallTimeout) as caught:
        list(getattr(client, act)(job_id, timeout=0.5))
    assert caught.value.outcome == "unknown"
    gate.opened.set()
    assert client.collect(job_id).answer == "hello"


@pytest.mark.parametrize("act", ["follow", "collect"])
def test_a_job_that_is_queued_for_ever_is_stopped_and_its_key_is_free(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, act: str
):
    client = make_client(jobs=JobPolicy(queued=0.5, stall=0.2, poll=0.1))
    fake_langflow.hold_queue()
    job_id = client.submit(echo, "hello", idempotency_key="key")
    assert client.submit(echo, "hello", idempotency_key="key") == job_id
    with pytest.raises(JobLost) as caught:
        list(getattr(client, act)(job_id))
    assert (caught.value.outcome, caught.value.retryable) == ("not_run", True)
    assert client.status(job_id).state == "cancelled"
    assert client.submit(echo, "hello", idempotency_key="key") != job_id


def test_a_job_whose_events_are_a_gateways_page_is_not_taken_for_dropped(
    fake_langflow: FakeLangflow, make_client: MakeClient, gate: Gate, gated: str
):
    client = make_client(jobs=JobPolicy(unattended=0.5, poll=0.1))
    fake_langflow.script(Fault(path=EVENTS, status=200, body="<html>\nLog in\n</html>", times=0))
    job_id = client.submit(gated, "hello")
    after(1.5, gate.opened.set)
    assert list(client.follow(job_id)) == []
    assert client.collect(job_id).answer == "hello"


def test_a_job_that_langflow_dropped_is_stopped_and_its_key_is_free(
    fake_langflow: FakeLangflow, make_client: MakeClient, gate: Gate, gated: str
):
    client = make_client(jobs=JobPolicy(unattended=0.5, poll=0.1))
    job_id = client.submit(gated, "hello", idempotency_key="key")
    assert gate.entered.wait(HANGING)
    fake_langflow.drop_jobs()
    gate.opened.set()
    with pytest.raises(JobLost, match="was dropped by Langflow") as caught:
        list(client.follow(job_id))
    assert (caught.value.outcome, caught.value.retryable) == ("failed", True)
    assert client.status(job_id).state == "cancelled"
    again = client.submit(gated, "hello", idempotency_key="key")
    assert again != job_id
    assert client.collect(again).answer == "hello"


@pytest.mark.parametrize(
    "fault",
    [None, Fault(path=EVENTS, drop=True), Fault(path=EVENTS, status=502)],
    ids=["open", "drop", "502"],
)
def test_a_job_that_is_silent_or_whose_stream_fails_is_not_taken_for_dropped(
    fake_langflow: FakeLangflow, make_client: MakeClient, gate: Gate, gated: str, fault: Fault | None
):
    client = make_client(jobs=JobPolicy(unattended=0.2, poll=0.1))
    job_id = client.submit(gated, "hello")
    assert gate.entered.wait(HANGING)
    if fault is not None:
        fake_langflow.script(replace(fault, times=5))
    after(1.0, gate.opened.set)
    assert [event.kind for event in client.follow(job_id)][-1] == "finished"
    assert client.collect(job_id).answer == "hello"


def test_a_queue_that_is_kept_alive_is_left_at_its_limit(make_client: MakeClient):
    with FakeLangflow(keepalive=0.02) as fake:
        flow_id = fake.add_flow("echo")
        fake.hold_queue()
        client = make_client(
            base_url=fake.base_url, access=Access(api_key=fake.api_key), jobs=JobPolicy(total=4.0, queued=0.2, poll=0.1)
        )
        started = time.monotonic()
        with pytest.raises(JobLost, match=r"queued for more than 0\.2 s"):
            list(client.follow(client.submit(flow_id, "hello")))
        assert time.monotonic() - started < 3.0


@pytest.mark.parametrize("act", ["follow", "collect"])
def test_a_queued_job_that_ends_before_its_stop_is_collected(
    fake_langflow: FakeLangflow, client: LangflowClient, make_client: MakeClient, echo: str, act: str
):
    job_id = client.submit(echo, "hello")
    client.collect(job_id)
    queued = {"job_id": job_id, "status": "queued"}
    fake_langflow.script(
        *[Fault(path=EVENTS, status=503)] * (act == "follow"),
        Fault(path="/workflows", method="GET", status=200, body=queued),
    )
    impatient = make_client(jobs=JobPolicy(total=10.0, queued=1e-6, poll=0.1), retry=RetryPolicy(attempts=1))
    if act == "follow":
        assert [event.kind for event in impatient.follow(job_id)][-1] == "finished"
    else:
        assert impatient.collect(job_id).answer == "hello"
    assert [request.path for request in fake_langflow.requests].count("/api/v2/workflows/stop") == 1


def test_a_job_of_a_worker_that_died_is_lost(
    fake_langflow: FakeLangflow, client: LangflowClient, gate: Gate, gated: str
):
    job_id = client.submit(gated, "hello", idempotency_key="key")
    assert gate.entered.wait(HANGING)
    fake_langflow.crash()
    assert [event.kind for event in client.follow(job_id)][-1] == "lost"
    with pytest.raises(JobLost, match="worker_lost") as caught:
        client.collect(job_id)
    assert caught.value.retryable
    assert client.submit(gated, "hello", idempotency_key="key") != job_id
    gate.opened.set()


def test_breaking_off_leaves_the_job_running(client: LangflowClient, gate: Gate, gated: str):
    job_id = client.submit(gated, "hello")
    stream = client.follow(job_id)
    next(stream)
    stream.close()
    gate.opened.set()
    assert client.collect(job_id).answer == "hello"


def test_a_failure_that_turns_into_a_stop_is_a_stop(
    fake_langflow: FakeLangflow, client: LangflowClient, gate: Gate, gated: str
):
    # Right after a stop Langflow may say failed for a moment.
    job_id = client.submit(gated, "hello")
    client.stop(job_id)
    fake_langflow.script(Fault(path="/workflows", method="GET", status=500, body={"detail": {"code": "JOB_FAILED"}}))
    with pytest.raises(JobCancelled):
        client.collect(job_id)
    gate.opened.set()


@pytest.mark.parametrize("job_id", ["", "no-uuid", "../../etc", None, 7])
@pytest.mark.parametrize("act", ["status", "stop", "collect", "follow", "trace"])
def test_an_id_that_is_none_is_refused_before_it_is_sent(
    fake_langflow: FakeLangflow, client: LangflowClient, act: str, job_id: object
):
    with pytest.raises(LangflowError, match="must be a UUID") as caught:
        list(getattr(client, act)(job_id))
    assert caught.value.outcome == "not_run"
    assert fake_langflow.requests == []


def test_jobs_are_followed_by_many_threads(fake_langflow: FakeLangflow, client: LangflowClient, echo: str):
    ends: list[str] = []

    def follow(number: int) -> None:
        job_id = client.submit(echo, f"number {number}")
        ends.append([event.kind for event in client.follow(job_id)][-1])

    followers = [threading.Thread(target=follow, args=(number,)) for number in range(10)]
    for follower in followers:
        follower.start()
    started = time.monotonic()
    for follower in followers:
        follower.join(HANGING)
    assert time.monotonic() - started < HANGING
    assert ends == ["finished"] * 10
