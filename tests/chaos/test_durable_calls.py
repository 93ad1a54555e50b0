"""A durable call, and what happens in its middle: it is answered all the same, once, and paid for once.

Each test looks at the call from three sides: Dagster's runs, the ledger's rows, and the LLM server's own log.
"""

import time
from contextlib import AbstractContextManager

import pytest
from chaos.calls import Calls, DurableCall
from chaos.evidence import Evidence
from chaos.faults import SERVICES, cut_between, off_the_network, stalled
from harness.stack import Stack

CUT_SECONDS = 30.0
STALL_SECONDS = 45.0
# Langflow takes up to 90 s to start again, and 45 s more to declare what it ran before as lost.
SURVIVE_SECONDS = 420.0
NEEDED_BY_NO_RUN = ("user-code", "dagster-daemon")
NEEDED_BY_NO_JOB = (*NEEDED_BY_NO_RUN, "worker", "redis")


def in_the_middle(calls: Calls) -> DurableCall:
    call = calls.launch()
    calls.wait_in_flight(call)
    return call


def judge(evidence: Evidence) -> None:
    assert not evidence.problems(), evidence.report()


def endure(calls: Calls, fault: AbstractContextManager[None], seconds: float) -> Evidence:
    """Have the fault for so long in the middle of a call."""
    call = in_the_middle(calls)
    with fault:
        assert calls.in_flight(call), "the answer was there before the fault was: nothing was tested"
        time.sleep(seconds)
    return calls.finish(call, SURVIVE_SECONDS)


@pytest.mark.parametrize("service", SERVICES)
def test_a_durable_call_survives_the_kill_of(service: str, stack: Stack, calls: Calls) -> None:
    call = in_the_middle(calls)
    stack.kill(service)
    evidence = calls.finish(call, SURVIVE_SECONDS)

    judge(evidence)
    if service in NEEDED_BY_NO_RUN:
        assert [run.run_id for run in evidence.runs] == [call.run_id], evidence.report()
    if service == "worker":
        assert [run.status for run in evidence.runs] == ["FAILURE", "SUCCESS"], evidence.report()
    if service in NEEDED_BY_NO_JOB:
        assert len(evidence.rows) == 1, f"the call was sent again\n{evidence.report()}"


def test_a_durable_call_survives_a_cut_between_its_worker_and_langflow(stack: Stack, calls: Calls) -> None:
    evidence = endure(calls, cut_between(stack, "worker", "langflow"), CUT_SECONDS)

    judge(evidence)
    assert len(evidence.rows) == 1, f"the call was sent again\n{evidence.report()}"


def test_a_durable_call_survives_a_worker_off_the_network(stack: Stack, calls: Calls) -> None:
    evidence = endure(calls, off_the_network(stack, "worker"), CUT_SECONDS)

    judge(evidence)
    assert len(evidence.rows) == 1, f"the call was sent again\n{evidence.report()}"


def test_a_durable_call_outlasts_an_llm_that_stalls(stack: Stack, calls: Calls) -> None:
    evidence = endure(calls, stalled(stack, "llm"), STALL_SECONDS)

    judge(evidence)
    assert evidence.seconds > STALL_SECONDS
    assert len(evidence.requests) == 1, evidence.report()
