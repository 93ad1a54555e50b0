"""scripts/stack.sh: what `make up` says where a service does not come up."""

from unit.scripts.conftest import Machine


def test_a_one_shot_that_failed_for_good_is_not_waited_for(machine: Machine) -> None:
    machine.add_docker(
        """"compose up "*) ;;
"compose ps "*) printf 'langflow running healthy/0\\nledger-migrate exited /0\\nflows-push exited /1\\n' ;;
*" logs "*flows-push) echo "flows/assistant.json is no JSON" ;;"""
    )
    (machine.folder / ".dev" / "logs").mkdir(parents=True)
    stderr = machine.refusal("START_SECONDS=1000; start_stack")
    assert "not every service came up" in stderr
    assert "flows-push exited /1" in stderr
    assert "flows/assistant.json is no JSON" in stderr
    assert "langflow" not in stderr
