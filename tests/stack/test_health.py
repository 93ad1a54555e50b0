"""Health checks mean work: they go red when what a service's users need is gone, and green again by themselves."""

from harness.stack import Stack
from stack.conftest import Dagster

NEED_POSTGRES = ["dagster-webserver", "dagster-daemon", "worker", "langflow"]


def test_goes_red_without_postgres_and_green_again(stack: Stack, dagster: Dagster) -> None:
    stack.run("stop", "postgres")
    for service in NEED_POSTGRES:
        stack.wait_health(service, "unhealthy", seconds=240)
    assert stack.health("llm") == "healthy", "the LLM needs no database"

    stack.run("start", "postgres")
    for service in ["postgres", *NEED_POSTGRES]:
        stack.wait_health(service, "healthy", seconds=180)
    assert dagster.ask_when_served(input_value="What is the capital of France?").status == "SUCCESS"


def test_goes_red_without_the_broker(stack: Stack) -> None:
    stack.run("stop", "redis")
    stack.wait_health("worker", "unhealthy", seconds=180)

    stack.run("start", "redis")
    stack.wait_health("worker", "healthy", seconds=120)
