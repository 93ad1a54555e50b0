import inspect
from typing import Any

import pytest
from dagster._cli import dev as dagster_dev

from dagma.dev import guarded_dagster


def test_the_webserver_alone_is_started_behind_its_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(guarded_dagster, "open_ipc_subprocess", lambda command, **_: started.append(command))
    guarded_dagster.open_guarded(["python", "-m", "dagster_webserver", "--port", "3000"], pass_fds=[3])
    guarded_dagster.open_guarded(["python", "-m", "dagster._daemon", "run"])
    assert started == [
        ["python", "-m", "dagma.execution.guarded_webserver", "--port", "3000"],
        ["python", "-m", "dagster._daemon", "run"],
    ]


def test_dagster_dev_starts_its_processes_as_the_guard_expects() -> None:
    source = inspect.getsource(dagster_dev)
    assert '"-m", "dagster_webserver"]' in source
    assert source.count("= open_ipc_subprocess(") == 2


def test_a_dagster_that_starts_them_otherwise_is_not_started_without_the_guard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def another(*_: Any, **__: Any) -> None: ...

    monkeypatch.setattr(dagster_dev, "open_ipc_subprocess", another)
    with pytest.raises(RuntimeError, match="leave out the guard"):
        guarded_dagster.main()
