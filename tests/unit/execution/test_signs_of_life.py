from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from dagma.execution import signs_of_life

HOST = "celery@worker-1"
OTHER = "celery@worker-2"


class Redis:
    """As much of a client as is used; `away` stands for a server that can't be reached."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.seconds: dict[str, int] = {}
        self.away = False

    def set(self, key: str, value: str, *, ex: int) -> None:
        if self.away:
            raise RedisConnectionError("connection refused")
        self.values[key] = value.encode()
        self.seconds[key] = ex

    def exists(self, key: str) -> int:
        return int(key in self.values)

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def delete(self, key: str) -> None:
        self.values.pop(key)

    def scan_iter(self, match: str) -> Iterator[str]:
        return iter([key for key in self.values if key.startswith(match.rstrip("*"))])


@pytest.fixture
def redis() -> Redis:
    return Redis()


@pytest.fixture
def app(redis: Redis) -> Any:
    return SimpleNamespace(backend=SimpleNamespace(client=redis))


def beat(app: Any, monkeypatch: pytest.MonkeyPatch, meanwhile: list[Any]) -> None:
    """Let a worker beat, and do these things after a beat each."""

    def sleep(seconds: float) -> None:
        assert seconds < signs_of_life.LIFE_SECONDS / 10
        if not meanwhile:
            raise KeyboardInterrupt
        meanwhile.pop(0)()

    monkeypatch.setattr(signs_of_life.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        signs_of_life.keep_giving(app, HOST)


def test_a_sign_is_given_for_a_while(app: Any, redis: Redis) -> None:
    assert not signs_of_life.is_given(app, "r")
    signs_of_life.give(app, "r", HOST)
    assert signs_of_life.is_given(app, "r")
    assert list(redis.seconds.values()) == [signs_of_life.LIFE_SECONDS]


def test_a_worker_gives_signs_for_the_runs_that_it_has(app: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: dict[str, object] = {}
    monkeypatch.setattr(signs_of_life.state, "requests", requests)
    beat(app, monkeypatch, [lambda: requests.update(one=object()), lambda: requests.update(two=object())])
    assert all(signs_of_life.is_given(app, run) for run in ("one", "two"))


def test_a_worker_that_is_started_again_takes_back_its_own_signs(
    app: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs_of_life.give(app, "mine", HOST)
    signs_of_life.give(app, "of another", OTHER)
    monkeypatch.setattr(signs_of_life.state, "requests", {})
    beat(app, monkeypatch, [])
    assert not signs_of_life.is_given(app, "mine")
    assert signs_of_life.is_given(app, "of another")


def test_signs_go_on_when_the_result_backend_is_back(app: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs_of_life.state, "requests", {"r": object()})
    redis.away = True
    beat(app, monkeypatch, [lambda: setattr(redis, "away", False)])
    assert signs_of_life.is_given(app, "r")
