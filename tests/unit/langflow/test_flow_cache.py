"""Callers that ask for a flow at the same time: one of them fetches it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from dagma.langflow import Flow, FlowNotFound
from dagma.langflow import flow as module
from dagma.langflow.flow import FlowCache

CALLERS = 8


class Server:
    """Gives flows once the test lets it, and counts how often it is asked."""

    def __init__(self, answer: Callable[[], Flow]) -> None:
        self.asked = 0
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self._answer = answer

    def fetch(self) -> Flow:
        self.asked += 1
        self.is_asked.set()
        assert self.may_answer.wait(10)
        return self._answer()


class Interrupted(BaseException):
    """What a cancel raises wherever the step is."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def flow(name: str) -> Flow:
    return Flow(id="11111111-1111-4111-8111-111111111111", name=name, endpoint_name=None, raw={})


def test_callers_at_the_same_time_get_the_flow_that_one_of_them_fetched() -> None:
    cache, server = FlowCache(10), Server(lambda: flow("new"))
    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(cache.get_or_fetch, "ask", server.fetch) for _ in range(CALLERS)]
        assert server.is_asked.wait(10)
        server.may_answer.set()
        assert {future.result(10).name for future in futures} == {"new"}
    assert server.asked == 1
    assert cache.get_or_fetch("ask", server.fetch).name == "new"
    assert server.asked == 1


def test_a_flow_that_is_old_is_fetched_again_and_those_who_ask_meanwhile_wait_for_it(clock: list[float]) -> None:
    cache, server = FlowCache(10), Server(lambda: flow("new"))
    cache.put("ask", flow("old"))
    clock[0] += 9
    assert cache.get_or_fetch("ask", server.fetch).name == "old"
    clock[0] += 1
    assert cache.get("ask") is None
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(cache.get_or_fetch, "ask", server.fetch) for _ in range(2)]
        assert server.is_asked.wait(10)
        assert cache.get("ask") is None
        server.may_answer.set()
        assert [future.result(10).name for future in futures] == ["new", "new"]
    assert server.asked == 1


def test_another_flow_is_not_waited_for() -> None:
    cache, server = FlowCache(10), Server(lambda: flow("slow"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(cache.get_or_fetch, "ask", server.fetch)
        assert server.is_asked.wait(10)
        assert cache.get_or_fetch("other", lambda: flow("new")).name == "new"
        server.may_answer.set()
        assert slow.result(10).name == "slow"


def test_a_flow_that_is_forgotten_is_fetched_again() -> None:
    cache = FlowCache(10)
    cache.put("ask", flow("old"))
    cache.forget()
    assert cache.get_or_fetch("ask", lambda: flow("new")).name == "new"


def test_what_was_asked_for_before_flows_were_forgotten_is_not_kept() -> None:
    cache, server = FlowCache(10), Server(lambda: flow("old"))
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(cache.get_or_fetch, "ask", server.fetch)
        assert server.is_asked.wait(10)
        cache.forget()
        assert cache.get_or_fetch("ask", lambda: flow("new")).name == "new"
        server.may_answer.set()
        assert before.result(10).name == "old"
    for key in ("ask", flow("new").id):
        kept = cache.get(key)
        assert kept is not None
        assert kept.name == "new"


def test_a_failure_is_everybodys_who_waits_and_nobodys_who_asks_later() -> None:
    answers: list[Callable[[], Flow]] = [refuse, lambda: flow("new")]
    cache, server = FlowCache(10), Server(lambda: answers.pop(0)())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or_fetch, "ask", server.fetch)
        assert server.is_asked.wait(10)
        second = waiting(pool, cache, server)
        server.may_answer.set()
        for each in (first, second):
            with pytest.raises(FlowNotFound):
                each.result(10)
    assert server.asked == 1
    assert cache.get("ask") is None
    assert cache.get_or_fetch("ask", server.fetch).name == "new"


def test_a_caller_that_is_interrupted_leaves_the_fetching_to_another() -> None:
    answers: list[Callable[[], Flow]] = [interrupt, lambda: flow("new")]
    cache, server = FlowCache(10), Server(lambda: answers.pop(0)())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or_fetch, "ask", server.fetch)
        assert server.is_asked.wait(10)
        second = waiting(pool, cache, server)
        server.may_answer.set()
        with pytest.raises(Interrupted):
            first.result(10)
        assert second.result(10).name == "new"


def waiting(pool: ThreadPoolExecutor, cache: FlowCache, server: Server) -> Future[Flow]:
    """Return a caller that waits for what another fetches."""
    waits, fetch = threading.Event(), cache._fetches["ask"]
    lock = fetch.lock

    @contextmanager
    def telling() -> Iterator[None]:
        waits.set()
        with lock:
            yield

    fetch.lock = telling()
    future = pool.submit(cache.get_or_fetch, "ask", server.fetch)
    assert waits.wait(10)
    return future


def refuse() -> Flow:
    raise FlowNotFound("There is none.")


def interrupt() -> Flow:
    raise Interrupted
