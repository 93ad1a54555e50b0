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


def test_a_copy_that_kept_the_id_is_neither_replaced_nor_deleted(tmp_path: Path, flow: dict[str, Any]) -> None:
    write(flow, tmp_path)
    copy = to_text({**flow, "name": "My flow", "endpoint_name": "my-flow"})
    (tmp_path / "my-flow.json").write_text(copy)
    other = {**flow, "id": OTHER_ID, "name": "Other", "endpoint_name": "other"}
    edited = {**flow, "name": "Edited"}
    refused, written = write_flows([edited, other], tmp_path).values()
    assert refused.problem == (
        f"{tmp_path}/greeter.json and {tmp_path}/my-flow.json have the same id: "
        "give one of the two another id, or delete it"
    )
    assert written == Written(tmp_path / "other.json", changed=True)
    assert names_by_file(tmp_path) == {"greeter.json": "Greeter", "my-flow.json": "My flow", "other.json": "Other"}


def test_another_flow_s_file_is_never_replaced(tmp_path: Path, flow: dict[str, Any]) -> None:
    write(flow, tmp_path)
    refused = write({**flow, "id": OTHER_ID, "name": "Other"}, tmp_path)
    assert refused.problem is not None
    assert f"greeter.json holds another flow, {flow['id']}" in refused.problem
    assert not refused.changed
    assert names_by_file(tmp_path) == {"greeter.json": "Greeter"}


@pytest.fixture
def swapped(tmp_path: Path, flow: dict[str, Any]) -> list[dict[str, Any]]:
    """Two flows that have a file each, by the name that the other has now."""
    first, second = flow, {**flow, "id": OTHER_ID, "name": "Other", "endpoint_name": "other"}
    write_flows([first, second], tmp_path)
    return [{**first, "endpoint_name": "other"}, {**second, "endpoint_name": "greeter"}]


def test_flows_trade_their_files(tmp_path: Path, swapped: list[dict[str, Any]]) -> None:
    assert [each.problem for each in write_flows(swapped, tmp_path).values()] == [None, None]
    assert names_by_file(tmp_path) == {"greeter.json": "Other", "other.json": "Greeter"}
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("step", ["write_text", "unlink", "replace"])
@pytest.mark.parametrize("steps_done", [0, 1])
def test_no_flow_is_lost_where_writing_ends_early(
    tmp_path: Path, swapped: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, step: str, steps_done: int
) -> None:
    steps = iter([getattr(Path, step)] * steps_done)

    def die_later(*given: Any, **options: Any) -> Any:
        return next(steps)(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, die_later)
        with pytest.raises(StopIteration):
            write_flows(swapped, tmp_path)
    kept = "".join(path.read_text() for path in tmp_path.iterdir())
    assert all(flow["id"] in kept for flow in swapped)
    write_flows(swapped, tmp_path)
    assert names_by_file(tmp_path) == {"greeter.json": "Other", "other.json": "Greeter"}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_flow_that_stays_keeps_its_file_from_those_that_move(tmp_path: Path, flow: dict[str, Any]) -> None:
    ids = [flow["id"], OTHER_ID, "44444444-4444-4444-8444-444444444444", "55555555-5555-4555-8555-555555555555"]
    stays, refused, follows, free = (
        {**flow, "id": flow_id, "name": name, "endpoint_name": name}
        for flow_id, name in zip(ids, ["stays", "refused", "follows", "free"], strict=True)
    )
    write_flows([stays, refused, follows, free], tmp_path)
    follows["endpoint_name"], refused["endpoint_name"], free["endpoint_name"] = "refused", "stays", "freed"
    written = write_flows([follows, refused, free], tmp_path)
    assert [flow_id for flow_id, each in written.items() if each.problem] == [follows["id"], refused["id"]]
    assert names_by_file(tmp_path) == {
        "follows.json": "follows",
        "freed.json": "free",
        "refused.json": "refused",
        "stays.json": "stays",
    }


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
    second = {**first, "id": OTHER_ID}
    for each in (first, second):
        path = write(each, tmp_path).path
        assert write(each, tmp_path) == Written(path, changed=False)
    assert {each["id"] for each in read_flows(tmp_path).values()} == {first["id"], second["id"]}


def test_the_longest_name_that_a_file_can_have_is_kept_whole(tmp_path: Path, flow: dict[str, Any]) -> None:
    path = write({**flow, "endpoint_name": "a" * 250}, tmp_path).path
    assert path.exists()
    assert path.stem == "a" * 250


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('{"data": [NaN]}', "is no JSON"),
        ('{"data": [1e999]}', "is no JSON"),
        ("[]", "holds no flow"),
        ('{"tags": 5}', ": tags must be a list of texts"),
        ('{"tags": ["a", 5]}', ": tags must be a list of texts"),
        ('{"name": 5}', ": name must be a text"),
        ('{"id": [1]}', ": id must be a text"),
        ('{"locked": "yes"}', ": locked must be true or false"),
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
