"""scripts/stack.sh: what `make up` says where a service does not come up."""

import pytest
from unit.scripts.compose import ONE_SHOTS
from unit.scripts.conftest import Machine


@pytest.fixture(autouse=True)
def folders(machine: Machine) -> None:
    for name in ("logs", "project"):
        (machine.folder / ".dev" / name).mkdir(parents=True)


def test_a_one_shot_that_failed_for_good_is_not_waited_for_and_is_the_only_one_named(machine: Machine) -> None:
    machine.add_docker(
        """"compose up "*) ;;
"compose ps --quiet "*) ;;
"ps --all "*) printf '%s\\n' 'langflow running Up 1 minute (healthy)' \\
  'worker running Up 3 seconds (health: starting)' 'flows-push exited Exited (1) 2 seconds ago' ;;
"ps --quiet "*) ;;
*" logs "*flows-push) echo "flows/assistant.json is not JSON" ;;"""
    )
    stderr = machine.refusal("START_SECONDS=1000; COPY=1; start_stack")
    assert "error: flows-push failed" in stderr
    assert stderr.count("flows/assistant.json is not JSON") == 1
    assert "langflow" not in stderr
    assert "worker" not in stderr


def test_a_service_of_ones_own_without_a_health_check_is_not_waited_for(machine: Machine) -> None:
    one_shots = sorted(ONE_SHOTS - {"validate"})
    running = [f"{name} running Up 2 minutes" for name in ("mine", *one_shots)]
    machine.write("ps.txt", "\n".join([*running, "worker running Up 2 minutes (unhealthy)"]) + "\n")
    machine.add_docker('"ps --all "*) cat ps.txt ;;')
    assert [line.split()[0] for line in machine.run("unready").stdout.splitlines()] == [*one_shots, "worker"]


def test_services_that_are_late_are_all_named(machine: Machine) -> None:
    machine.add_docker(
        """"compose up "*) ;;
"compose ps --quiet "*|"ps --quiet "*) ;;
"ps --all "*) printf '%s\\n' 'langflow running Up 1 second (health: starting)' \\
  'worker running Up 1 minute (unhealthy)' 'flows-push exited Exited (0) 1 second ago' ;;
*" logs "*langflow) echo "loading components" ;;
*" logs "*worker) echo "no broker" ;;"""
    )
    stderr = machine.refusal("START_SECONDS=0; COPY=1; start_stack")
    assert "not every service came up" in stderr
    for said in ("langflow running Up 1 second (health: starting)", "loading components", "(unhealthy)", "no broker"):
        assert said in stderr
    assert "flows-push" not in stderr


def test_a_code_server_that_could_not_load_is_restarted_once_the_copy_is_current(machine: Machine) -> None:
    machine.add_docker(
        """"compose up "*) [ -e restarted ] ;;
"compose ps --quiet "*) ;;
"ps --all "*) echo "project-code running Up 9 seconds (healthy)" ;;
"ps --quiet "*service=project-code*health=unhealthy*) echo 4711 ;;
"ps --quiet "*service=user-code*) ;;
"restart 4711") find .dev/project -name current -printf '%l' >restarted ;;"""
    )
    done = machine.run("START_SECONDS=60; COPY=0123456789ab; start_stack")
    assert done.returncode == 0, done
    assert (machine.folder / "restarted").read_text() == "0123456789ab"
