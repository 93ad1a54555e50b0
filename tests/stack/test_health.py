"""Health checks mean work: they fail when what a service's users need is gone, and pass again by themselves."""

from harness.stack import Stack, wait_until
from stack.conftest import Dagster

NEED_POSTGRES = ["dagster-webserver", "dagster-daemon", "worker", "langflow"]


def wait_for_check(stack: Stack, service: str, *, passes: bool) -> None:
    """Wait until the service's own check says this; Docker asks it less often."""
    state = "passes" if passes else "fails"
    wait_until(f"the check of {service} {state}", lambda: stack.check(service) is passes, seconds=180)


def test_checks_fail_without_postgres_and_pass_again(stack: Stack, dagster: Dagster) -> None:
    stack.run("stop", "postgres")
    for service in NEED_POSTGRES:
        wait_for_check(stack, service, passes=False)
    assert stack.check("llm"), "the LLM needs no database"

    stack.run("start", "postgres")
    for service in ["postgres", *NEED_POSTGRES]:
        wait_for_check(stack, service, passes=True)
    assert dagster.ask_when_served(input_value="What is the capital of France?").status == "SUCCESS"


def test_the_check_of_a_worker_fails_without_the_broker_and_passes_again(stack: Stack) -> None:
    stack.run("stop", "redis")
    wait_for_check(stack, "worker", passes=False)

    stack.run("start", "redis")
    wait_for_check(stack, "worker", passes=True)
