import json
from pathlib import Path
from typing import Any

import pytest

from dagma.flows.document import to_text
from dagma.flows.files import Written, file_name, read_flows, write_flows

OTHER_ID = "33333333-3333-4333-8333-333333333333"


def write(flow: dict[str, Any], folder: Path) -> Written:
    return write_flows([flow], folder)[flow["id"]]


def names_by_file(folder: Path) -> dict[str, str]:
    return {path.name: flow["name"] for path, flow in read_flows(folder).items()}


def test_a_flow_is_written_once_under_its_endpoint_name(tmp_path: Path, flow: dict[str, Any]) -> None:
    folder = tmp_path / "flows"
    assert write(flow, folder) == Written(folder / "greeter.json", changed=True)
    assert write(flow, folder) == Written(folder / "greeter.json", changed=False)
    assert [each["id"] for each in read_flows(folder).values()] == [flow["id"]]


def test_a_renamed_flow_leaves_no_file_behind(tmp_path: Path, flow: dict[str, Any]) -> None:
    write(flow, tmp_path)
    write({**flow, "endpoint_name": "host"}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["host.json"]


def test_a_flow_that_changed_only_the_case_of_its_name_keeps_its_file_on_a_disk_that_ignores_case(
    tmp_path: Path, flow: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write({**flow, "endpoint_name": "Greeter"}, tmp_path)
    write_text = Path.write_text

    def ignoring_case(path: Path, text: str, **options: Any) -> int:
        same = [each for each in path.parent.iterdir() if each.name.lower() == path.name.lower()]
        return write_text(same[0] if same else path, text, **options)

    monkeypatch.setattr(Path, "write_text", ignoring_case)
    write({**flow, "name": "Edited"}, tmp_path)
    assert names_by_file(tmp_path) == {"greeter.json": "Edited"}


def test_a_copy_that_kept_the_id_is_neither_replaced_nor_deleted(tmp_path: Path, flow: dict[str, Any]) -> None:
    write(flow, tmp_path)
    copy = to_text({**flow, "name": "My flow", "endpoint_name": "my-flow"})
    (tmp_path / "my-flow.json").write_text(copy)
    write({**flow, "name": "Edited"}, tmp_path)
    write({**flow, "name": "Renamed", "endpoint_name": "renamed"}, tmp_path)
    assert names_by_file(tmp_path) == {"greeter.json": "Edited", "my-flow.json": "My flow", "renamed.json": "Renamed"}


def test_another_flow_s_file_is_never_replaced(tmp_path: Path, flow: dict[str, Any]) -> None:
    write(flow, tmp_path)
    other = {**flow, "id": OTHER_ID, "name": "Other"}
    renamed = {**flow, "endpoint_name": "host"}
    refused, written = write_flows([other, renamed], tmp_path).values()
    assert refused.path is None
    assert f"greeter.json holds another flow, {flow['id']}" in refused.problem
    assert written == Written(tmp_path / "host.json", changed=True)
    assert names_by_file(tmp_path) == {"host.json": "Greeter"}
    assert write(other, tmp_path).changed


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"data": [NaN]}', "is not JSON"),
        ('{"data": [1e999]}', "is not JSON"),
        ("[]", "holds no flow"),
    ],
)
def test_a_file_that_is_no_flow_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(ValueError, match=rf"broken\.json ?{said}"):
        read_flows(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--dir"):
        read_flows(tmp_path / "nowhere")


@pytest.mark.parametrize("broken", ["<<<<<<< HEAD\n{}", "[]"])
def test_a_pull_fixes_a_broken_file(tmp_path: Path, flow: dict[str, Any], broken: str) -> None:
    (tmp_path / "other.json").write_text(broken)
    (tmp_path / "greeter.json").write_text(broken)
    assert write(flow, tmp_path) == Written(tmp_path / "greeter.json", changed=True)
    assert json.loads((tmp_path / "greeter.json").read_text())["id"] == flow["id"]
    assert (tmp_path / "other.json").read_text() == broken
