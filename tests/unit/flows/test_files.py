import json
from pathlib import Path
from typing import Any

import pytest

from dagma.flows.files import file_name, read_flows, write_flow


def test_a_flow_is_written_once_under_its_endpoint_name(tmp_path: Path, flow: dict[str, Any]) -> None:
    folder = tmp_path / "flows"
    assert write_flow(flow, folder) == (folder / "greeter.json", True)
    assert write_flow(flow, folder) == (folder / "greeter.json", False)
    assert [each["id"] for each in read_flows(folder).values()] == [flow["id"]]


def test_a_renamed_flow_leaves_no_file_behind(tmp_path: Path, flow: dict[str, Any]) -> None:
    write_flow(flow, tmp_path)
    write_flow({**flow, "endpoint_name": "host"}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["host.json"]


def test_another_flow_s_file_is_never_replaced(tmp_path: Path, flow: dict[str, Any]) -> None:
    write_flow(flow, tmp_path)
    other = {**flow, "id": "33333333-3333-4333-8333-333333333333", "name": "Other"}
    with pytest.raises(FileExistsError, match="holds another flow"):
        write_flow(other, tmp_path)
    assert next(iter(read_flows(tmp_path).values()))["name"] == "Greeter"


@pytest.mark.parametrize(
    ("endpoint_name", "name", "expected"),
    [
        ("greeter", "Greeter", "greeter.json"),
        (None, "My Flow (2)", "my-flow-2.json"),
        ("../../etc/cron", "x", "etc-cron.json"),
        (None, "???", "the-id.json"),
    ],
)
def test_file_names(endpoint_name: str | None, name: str, expected: str) -> None:
    assert file_name({"id": "the-id", "endpoint_name": endpoint_name, "name": name}) == expected


@pytest.mark.parametrize("field", ["endpoint_name", "name"])
def test_flows_with_very_long_names_have_a_file_each(tmp_path: Path, flow: dict[str, Any], field: str) -> None:
    first = {**flow, "endpoint_name": None, field: "a" * 5_000}
    second = {**first, "id": "33333333-3333-4333-8333-333333333333"}
    for each in (first, second):
        path, _ = write_flow(each, tmp_path)
        assert write_flow(each, tmp_path) == (path, False)
    assert {each["id"] for each in read_flows(tmp_path).values()} == {first["id"], second["id"]}


def test_the_longest_name_that_a_file_can_have_is_kept_whole(tmp_path: Path, flow: dict[str, Any]) -> None:
    path, _ = write_flow({**flow, "endpoint_name": "a" * 250}, tmp_path)
    assert path.stem == "a" * 250


@pytest.mark.parametrize(("text", "said"), [("{", "is no JSON"), ("[]", "holds no flow")])
def test_a_file_that_is_no_flow_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(ValueError, match=rf"broken\.json {said}"):
        read_flows(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--dir"):
        read_flows(tmp_path / "nowhere")


@pytest.mark.parametrize("broken", ["<<<<<<< HEAD\n{}", "[]"])
def test_a_pull_fixes_a_broken_file(tmp_path: Path, flow: dict[str, Any], broken: str) -> None:
    (tmp_path / "other.json").write_text(broken)
    (tmp_path / "greeter.json").write_text(broken)
    assert write_flow(flow, tmp_path) == (tmp_path / "greeter.json", True)
    assert json.loads((tmp_path / "greeter.json").read_text())["id"] == flow["id"]
    assert (tmp_path / "other.json").read_text() == broken
