"""The floors of the house, and the picture of them in docs/architecture.md."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rooms() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("rooms", ROOT / "scripts" / "rooms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("rooms", None)


def test_nothing_is_imported_from_the_same_floor_or_from_above(rooms: ModuleType) -> None:
    found = rooms.edges()
    assert found["calls", "ledger"], "imports are read"
    upwards = [(one, other) for one, other in found if rooms.floor_of(other) >= rooms.floor_of(one)]
    assert upwards == []


def test_no_import_is_hidden_from_the_running_code() -> None:
    hidden = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "src" / "dagma").rglob("*.py")
        if "TYPE_CHECKING" in file.read_text()
    ]
    assert hidden == ["src/dagma/__init__.py"], "which hands names on when they are asked for"


def test_the_picture_is_that_of_the_code(rooms: ModuleType) -> None:
    assert rooms.PICTURE.read_text() == rooms.svg(), "draw it anew: python3 scripts/rooms.py"
