"""scripts/stack.sh: what `make up` says where a service does not come up."""

from unit.scripts.conftest import Machine


def test_a_one_shot_that_failed_for_good_is_not_waited_for_and_is_the_only_one_named(machine: Machine) -> None:
    machine.add_docker(
        """"compose up "*) ;;
"compose ps --all --quiet "*) echo 123abc ;;
"compose ps "*) printf 'langflow running healthy/0\\nworker running starting/0\\nflows-push exited /1\\n' ;;
"inspect "*" 123abc") echo 2026-01-02T03:04:05Z ;;
*" logs "*"--since 2026-01-02T03:04:05Z flows-push") echo "flows/assistant.json is no JSON" ;;"""
    )
    for name in ("logs", "project"):
        (machine.folder / ".dev" / name).mkdir(parents=True)
    stderr = machine.refusal("START_SECONDS=1000; COPY=1; start_stack")
    assert "error: flows-push failed" in stderr
    assert stderr.count("flows/assistant.json is no JSON") == 1
    assert "langflow" not in stderr
    assert "worker" not in stderr


def test_services_that_are_late_are_all_named(machine: Machine) -> None:
    machine.add_docker(
        """"compose up "*) ;;
"compose ps "*) printf 'langflow running starting/0\\nworker running unhealthy/0\\nflows-push exited /0\\n' ;;
*" logs "*langflow) echo "loading components" ;;
*" logs "*worker) echo "no broker" ;;"""
    )
    for name in ("logs", "project"):
        (machine.folder / ".dev" / name).mkdir(parents=True)
    stderr = machine.refusal("START_SECONDS=0; COPY=1; start_stack")
    assert "not every service came up" in stderr
    for said in ("langflow running starting", "loading components", "worker running unhealthy", "no broker"):
        assert said in stderr
    assert "flows-push" not in stderr
