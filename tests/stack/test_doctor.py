"""The doctor on the shipped stack: everything is asked for what a call needs, and what is dead is found."""

import subprocess

from harness.stack import Stack, wait_until


def doctor(stack: Stack, *arguments: str) -> tuple[int, dict[str, str]]:
    """Run the doctor in `user-code`; return its exit code and its lines by what they are about."""
    done = subprocess.run(
        [*stack.compose.docker_compose_command(), "exec", "-T", "user-code", "dagma", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = {line[9:].split(": ", 1)[0]: line for line in done.stdout.splitlines()}
    assert "Traceback" not in done.stderr
    return done.returncode, lines


def calls_in_the_ledger(stack: Stack) -> int:
    return stack.exec("user-code", "dagma", "ledger", "export", "--format", "csv").count("\n")


def test_finds_nothing_wrong_with_a_stack_that_works_and_leaves_no_call_in_its_ledger(stack: Stack) -> None:
    before = calls_in_the_ledger(stack)
    exit_code, lines = doctor(stack)
    assert calls_in_the_ledger(stack) == before

    assert [line for line in lines.values() if not line.startswith("ok ")] == []
    assert exit_code == 0
    assert "asked for one token, smollm2-135m answered" in lines["LLM"]
    assert "1 answered over the broker" in lines["workers"]
    assert "/dagma answers" in lines["ledger"]


def test_finds_that_no_worker_answers_and_ask_says_so_while_it_waits(stack: Stack) -> None:
    stack.run("stop", "worker")
    try:
        exit_code, lines = doctor(stack, "--no-llm")
        asked = stack.exec("user-code", "dagma", "ask", "--wait", "20", "Anybody there?", check=False)
    finally:
        stack.run("start", "worker")

    assert exit_code == 1
    assert {name for name, line in lines.items() if line.startswith("FAILED")} == {"workers"}
    assert "make logs s=worker" in lines["workers"]
    assert asked.count("The run has waited for") == 1
    assert "no worker answers. Look at them: `make ps`, `make logs s=worker`." in asked
    assert "It has not ended after 20 s. The run continues: " in asked
    stack.wait_health("worker", "healthy", seconds=120)
    wait_until("the doctor is content", lambda: doctor(stack, "--no-llm")[0] == 0, seconds=60)


def test_finds_a_dead_broker_and_a_dead_database(stack: Stack) -> None:
    stack.run("stop", "redis")
    try:
        exit_code, lines = doctor(stack, "--no-llm")
    finally:
        stack.run("start", "redis")
    assert exit_code == 1
    assert lines["workers"].startswith("FAILED")
    assert "make logs s=redis" in lines["workers"]
    stack.wait_health("redis", "healthy", seconds=60)
    stack.wait_health("worker", "healthy", seconds=120)
