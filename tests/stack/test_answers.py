"""One call, from the launch to the answer or to its typed failure, on the shipped stack."""

import re
import subprocess

from harness.stack import Stack, wait_until
from stack.conftest import ASSET, Dagster

ASSISTANT = "da90a000-0000-4000-8000-000000000001"
ONE_OFF = ("run", "--rm", "--no-deps", "-T")
MATERIALIZE = ("worker", "dagster", "asset", "materialize", "--select", ASSET, "-m", "dagma.definitions")


def one_off(stack: Stack, **env: str) -> tuple[str, str]:
    """Materialize the asset in a worker container of its own with other variables; return its output and run id."""
    variables = [part for name, value in env.items() for part in ("--env", f"{name}={value}")]
    output = stack.run(*ONE_OFF, *variables, *MATERIALIZE, check=False)
    return output, run_id_in(output)


def run_id_in(output: str) -> str:
    """The id of the run that `dagster asset materialize` executed."""
    found = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?= - \d+ - RUN_START)", output))
    assert len(found) == 1, output
    return str(found.pop())


def test_materializes_a_real_answer_of_the_local_llm(stack: Stack, dagster: Dagster) -> None:
    run_id = dagster.launch(input_value="What is the capital of France?")
    outcome = dagster.finish(run_id)

    assert outcome.status == "SUCCESS", outcome
    assert "Paris" in outcome.metadata["answer"]
    assert outcome.metadata["input_tokens"] > 0
    assert outcome.metadata["output_tokens"] > 0
    assert outcome.metadata["total_tokens"] == outcome.metadata["input_tokens"] + outcome.metadata["output_tokens"]
    assert outcome.metadata["duration_seconds"] > 0
    assert outcome.metadata["session_id"]
    assert outcome.metadata["flow_url"] == f"{stack.langflow_url}/flow/{ASSISTANT}"
    assert outcome.metadata["cost_usd"] == "unpriced: set DAGMA_PRICES"
    assert {"attempt", "origin", "path"}.isdisjoint(outcome.metadata)
    assert [run["tags"]["dagma/flow"] for run in dagster.runs(runIds=[run_id])] == ["assistant"]
    assert dagster.materialized_by(run_id)
    (summary,) = [line for line in dagster.messages(run_id) if "langflow_run_flow summary=" in line]
    assert "outputs" in summary
    assert "Paris" not in summary


def test_a_run_that_is_canceled_in_the_ui_ends_ask_without_a_class_name(
    stack: Stack, dagster: Dagster, behave: str
) -> None:
    tweaks = '{"Behave-1": {"seconds": 60}}'
    command = ("exec", "-T", "user-code", "dagma", "ask", "--flow", behave, "--tweaks", tweaks, "Hello")
    asking = subprocess.Popen(
        [*stack.compose.docker_compose_command(), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def started() -> str | None:
        runs = [
            run
            for run in dagster.runs(statuses=["STARTED"])
            if run["tags"].get("dagma/principal", "").startswith("cli:")
        ]
        return str(runs[0]["runId"]) if runs else None

    run_id = wait_until("the run started", started, seconds=60)
    assert run_id is not None
    dagster.terminate(run_id)
    printed, _ = asking.communicate(timeout=120)
    assert asking.returncode == 1
    assert printed.startswith("The run was canceled.\n")
    assert "Error" not in printed
    assert run_id in printed


def test_a_wrong_api_key_fails_at_once_and_materializes_nothing(stack: Stack, dagster: Dagster) -> None:
    output, run_id = one_off(stack, LANGFLOW_API_KEY="sk-wrong-key-of-the-tests")

    outcome = dagster.finish(run_id)
    assert outcome.status == "FAILURE"
    assert "403" in outcome.failure
    assert "LANGFLOW_API_KEY" in outcome.failure or "key" in outcome.failure
    assert not dagster.materialized_by(run_id)
    assert "STEP_UP_FOR_RETRY" not in output
    assert "sk-wrong-key-of-the-tests" not in output


def test_a_call_waits_for_a_langflow_that_is_down_and_comes_back(stack: Stack, dagster: Dagster) -> None:
    stack.run("stop", "langflow")
    run_id = dagster.launch(input_value="What is the capital of France?")
    wait_until("a retry", lambda: [line for line in dagster.messages(run_id) if "retry" in line.lower()], seconds=60)
    assert not dagster.materialized_by(run_id)
    stack.run("start", "langflow")

    outcome = dagster.finish(run_id, seconds=300)
    assert outcome.status == "SUCCESS", outcome
    assert "Paris" in outcome.metadata["answer"]
    stack.wait_health("langflow", "healthy", seconds=180)
