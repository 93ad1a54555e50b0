"""Callers that ask for a flow at the same time: one of them fetches it."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from dagma.langflow import CallTimeout, Flow, FlowNotFound
from dagma.langflow.flow import FlowCache

CALLERS = 8


class Interrupted(BaseException):
    """What a cancel raises wherever the step is."""


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


@pytest.mark.parametrize(("asked", "seconds"), [("other", math.inf), ("ask", 0.01)], ids=["another flow", "impatient"])
def test_another_flow_is_not_waited_for_and_the_same_no_longer_than_one_can(asked: str, seconds: float) -> None:
    cache, server = FlowCache(10), Server(lambda: flow("slow"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(cache.get_or_fetch, "ask", server.fetch)
        assert server.is_asked.wait(10)
        assert cache.get_or_fetch(asked, lambda: flow("new"), seconds).name == "new"
        server.may_answer.set()
        assert slow.result(10).name == "slow"


def test_what_was_asked_for_before_flows_were_forgotten_is_not_kept() -> None:
    cache, server = FlowCache(10), Server(lambda: flow("old"))
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(cache.get_or_fetch, "ask", server.fetch)
        assert server.is_asked.wait(10)
        cache.forget()
        assert cache.get_or_fetch("ask", lambda: flow("new")).name == "new"
        server.may_answer.set()
        assert before.result(10).name == "old"
    assert cache.get_or_fetch("ask", refuse).name == "new"


def test_a_failure_is_everybodys_who_waits_and_nobodys_who_asks_later() -> None:
    cache, server = FlowCache(10), Server(refuse)
    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(cache.get_or_fetch, "ask", server.fetch) for _ in range(CALLERS)]
        assert server.is_asked.wait(10)
        wait(futures, timeout=0.2)
        server.may_answer.set()
        for future in futures:
            with pytest.raises(FlowNotFound):
                future.result(10)
    assert server.asked == 1
    assert cache.get_or_fetch("ask", lambda: flow("new")).name == "new"


@pytest.mark.parametrize("failure", [Interrupted(), CallTimeout("It took too long.")], ids=["cancel", "deadline"])
def test_a_caller_that_is_interrupted_or_impatient_leaves_the_fetching_to_another(failure: BaseException) -> None:
    def fail() -> Flow:
        raise failure

    cache, server = FlowCache(10), Server(fail)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or_fetch, "ask", server.fetch)
        assert server.is_asked.wait(10)
        second = pool.submit(cache.get_or_fetch, "ask", lambda: flow("new"))
        wait([second], timeout=0.2)
        server.may_answer.set()
        with pytest.raises(type(failure)):
            first.result(10)
        assert second.result(10).name == "new"


def refuse() -> Flow:
    raise FlowNotFound("There is none.")
