"""The broker at its limit: it refuses what is new, and still rewrites its log."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.stack import wait_until
from testcontainers.core.container import DockerContainer
from unit.scripts.compose import SERVICES

LIMIT = "256m"
FILL = 'local n = 0; while n < 1000 do redis.call("SET", KEYS[1] .. n, string.rep(ARGV[1], 10000)); n = n + 1 end'


class Broker:
    """A broker of its own, as docker-compose.yml starts it."""

    def __init__(self, container: DockerContainer) -> None:
        self._container = container

    def ask(self, *command: str) -> str:
        """What it answers to a command, or to a whole script of commands."""
        words = " ".join(command)
        script = "{ printf 'AUTH '; cat /run/secrets/REDIS_PASSWORD; printf '\\n%s\\n' \"$0\"; } | valkey-cli"
        answer = self._container.get_wrapped_container().exec_run(["sh", "-c", script, words])
        return str(answer.output.decode()).removeprefix("OK\n").strip()

    def figure(self, section: str, name: str) -> int:
        (found,) = re.findall(rf"^{name}:(\d+)", self.ask("INFO", section), re.MULTILINE)
        return int(found)

    @property
    def state(self) -> dict[str, object]:
        container = self._container.get_wrapped_container()
        container.reload()
        state: dict[str, object] = container.attrs["State"]
        return state


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    service = SERVICES["redis"]
    (tmp_path / "REDIS_PASSWORD").write_text(secrets.token_hex(8))
    (tmp_path / "REDIS_PASSWORD").chmod(0o444)
    tmp_path.chmod(0o755)
    container = (
        DockerContainer(service["image"])
        .with_command([part.replace("$$", "$") for part in service["command"]])
        .with_volume_mapping(str(tmp_path / "REDIS_PASSWORD"), "/run/secrets/REDIS_PASSWORD")
        .with_tmpfs_mount(service["tmpfs"][0])
        .with_kwargs(user=service["user"], mem_limit=LIMIT, memswap_limit=LIMIT, read_only=True)
    )
    with container:
        broker = Broker(container)
        wait_until("the broker", lambda: broker.ask("PING") == "PONG", seconds=30)
        yield broker


def test_a_full_broker_rewrites_its_log_while_all_of_its_data_change(broker: Broker) -> None:
    limit = broker.figure("memory", "maxmemory")
    assert limit == 256 * 1024 * 1024 // 5 * 2
    batch = 0
    while "OOM" not in broker.ask("EVAL", f"'{FILL}'", "1", f"key-{batch}-", "x"):
        batch += 1
    assert broker.figure("memory", "used_memory") > limit * 0.9

    assert "started" in broker.ask("BGREWRITEAOF")
    # Every page is written again while the child has it: the worst that a rewrite can cost.
    for number in range(batch):
        broker.ask("EVAL", f"'{FILL}'", "1", f"key-{number}-", "y")
    wait_until("the end", lambda: broker.figure("persistence", "aof_rewrite_in_progress") == 0, seconds=60)
    assert "aof_last_bgrewrite_status:ok" in broker.ask("INFO", "persistence")
    assert (broker.state["Running"], broker.state["OOMKilled"]) == (True, False)
