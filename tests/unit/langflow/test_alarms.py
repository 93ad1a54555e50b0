"""Alarms: they go off in time, whatever was set before them, and cost one thread."""

import os
import threading
import time

import pytest

from dagma.langflow.http.watched_http import Alarms

SOON, LATER, PATIENCE = 0.05, 60.0, 10.0


@pytest.fixture
def alarms() -> Alarms:
    return Alarms()


def test_an_alarm_goes_off_when_its_time_has_come_and_not_before(alarms: Alarms) -> None:
    rang: list[float] = []
    done = threading.Event()
    started = time.monotonic()
    alarms.set("owner", SOON, lambda: (rang.append(time.monotonic()), done.set()))
    assert done.wait(PATIENCE)
    assert rang[0] - started >= SOON


@pytest.mark.parametrize("others", [[LATER], [LATER, LATER, 2 * LATER], [float("inf")]])
def test_an_earlier_alarm_does_not_wait_for_those_that_were_set_before(alarms: Alarms, others: list[float]) -> None:
    for owner, seconds in enumerate(others):
        alarms.set(owner, seconds, lambda: None)
    done = threading.Event()
    alarms.set("soon", SOON, done.set)
    assert done.wait(PATIENCE)


def test_a_thread_that_slept_without_end_wakes_for_the_next_alarm(alarms: Alarms) -> None:
    for _ in range(2):
        done = threading.Event()
        alarms.set("owner", SOON, done.set)
        assert done.wait(PATIENCE)


def test_a_cancelled_alarm_is_silent_and_does_not_delay_the_others(alarms: Alarms) -> None:
    rang = []
    alarms.set("cancelled", SOON, lambda: rang.append("cancelled"))
    alarms.cancel("cancelled")
    alarms.cancel("nobody")
    done = threading.Event()
    alarms.set("other", 4 * SOON, done.set)
    assert done.wait(PATIENCE)
    assert rang == []


def test_all_alarms_of_one_moment_go_off(alarms: Alarms) -> None:
    left = threading.Semaphore(0)
    for owner in range(20):
        alarms.set(owner, SOON, left.release)
    assert all(left.acquire(timeout=PATIENCE) for _ in range(20))


def test_there_is_one_thread_for_all(alarms: Alarms) -> None:
    before = threading.active_count()
    for owner in range(100):
        alarms.set(owner, LATER, lambda: None)
    assert threading.active_count() == before + 1


def test_a_forked_child_has_alarms_of_its_own() -> None:
    from dagma.langflow.http.watched_http import alarms

    alarms.set("parent", LATER, lambda: None)
    child = os.fork()
    if child == 0:
        done = threading.Event()
        alarms.set("child", SOON, done.set)
        os._exit(0 if done.wait(PATIENCE) and "parent" not in alarms._alarms else 1)
    alarms.cancel("parent")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
