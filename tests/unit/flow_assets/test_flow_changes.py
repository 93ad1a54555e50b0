"""Edits in the canvas reach Dagster, without a redeploy."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from unit.cli.fake_dagster import FakeDagster
from unit.flow_assets.conftest import look, specs_of

from dagma import FlowSelection, flow_assets
from dagma.backends.langflow.access_variables import langflow_client
from dagma.execution.webserver import WebserverError
from dagma.flows.known_flows import ServerFlows
from dagma.langflow import LangflowError
from dagma.testing import FakeLangflow, Fault

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
OTHER = {"data": {"nodes": [{"id": "Prompt-1", "data": {"type": "Prompt", "node": {"template": {}}}}], "edges": []}}


def reloads(dagster: FakeDagster) -> list[str]:
    """The code locations that were reloaded."""
    return [asked["variables"]["name"] for asked in dagster.queries if "mutation Reload" in asked["query"]]


def reads(langflow: FakeLangflow) -> int:
    """How many flows were read as a whole."""
    return len([request for request in langflow.requests if re.search("/flows/.", request.path)])


def test_the_sensor_runs_unless_it_is_switched_off_and_often_enough(langflow: FakeLangflow) -> None:
    (sensor,) = flow_assets(name="care").sensors or []
    assert isinstance(sensor, dg.SensorDefinition)
    assert sensor.name == "care_changes"
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds is not None
    assert sensor.minimum_interval_seconds <= 30


def test_an_edit_reloads_the_location_and_changes_the_code_version(
    langflow: FakeLangflow, dagster: FakeDagster
) -> None:
    flow_id = langflow.add_flow("label")
    look(flow_assets())
    loaded = flow_assets()
    assert look(loaded)[0] == "The assets are those of the flows."
    assert reloads(dagster) == ["project"]

    langflow.add_flow("label", flow_id=flow_id, flow=OTHER)
    assert look(loaded)[0] == "Flows have changed: the code location 'project' was reloaded."
    assert reloads(dagster) == ["project", "project"]
    assert specs_of(flow_assets())["label"].code_version != specs_of(loaded)["label"].code_version
    assert look(flow_assets())[0] == "The assets are those of the flows."


def test_flows_that_appear_or_vanish_reload_it_and_others_do_not(langflow: FakeLangflow, dagster: FakeDagster) -> None:
    select = FlowSelection(name="label*")
    langflow.add_flow("label")
    look(flow_assets(select=select))
    loaded, before = flow_assets(select=select), len(reloads(dagster))

    langflow.add_flow("other")
    look(loaded)
    assert len(reloads(dagster)) == before

    added = langflow.add_flow("label-2")
    look(loaded)
    loaded = flow_assets(select=select)
    assert len(reloads(dagster)) == before + 1
    assert specs_of(loaded).keys() == {"label", "label_2"}

    with langflow_client() as client:
        client.delete_flow(added)
    look(loaded)
    assert len(reloads(dagster)) == before + 2
    assert specs_of(flow_assets(select=select)).keys() == {"label"}


def test_what_can_not_be_kept_leaves_nothing_more_at_each_look(langflow: FakeLangflow, tmp_path: Path) -> None:
    kept = tmp_path / "kept" / "flows.json"
    kept.mkdir(parents=True)  # no file can take its place
    flows = ServerFlows(kept, langflow_client, tmp_path)
    for _ in range(3):
        with pytest.raises(OSError, match=re.escape("flows.json")):
            flows.renew(lambda _: True, 10.0)
    assert len(list(kept.parent.iterdir())) == 2


def test_only_flows_that_were_saved_since_are_read_again(langflow: FakeLangflow) -> None:
    first = langflow.add_flow("first", saved_at=YESTERDAY)
    langflow.add_flow("second", saved_at=YESTERDAY)
    look(flow_assets())
    assert reads(langflow) == 2
    look(flow_assets())
    assert reads(langflow) == 2
    langflow.add_flow("first", flow_id=first)
    look(flow_assets())
    assert reads(langflow) == 3


def test_an_edit_within_the_second_of_the_one_before_is_seen(langflow: FakeLangflow) -> None:
    saved_at = datetime.now(UTC) + timedelta(minutes=1)  # however slow this machine is
    flow_id = langflow.add_flow("label", saved_at=saved_at)
    look(flow_assets())
    before = specs_of(flow_assets())["label"].code_version
    langflow.add_flow("label", flow_id=flow_id, flow=OTHER, saved_at=saved_at)
    look(flow_assets())
    assert specs_of(flow_assets())["label"].code_version != before


def test_a_flow_that_cannot_be_read_is_read_the_next_time(langflow: FakeLangflow) -> None:
    broken = langflow.add_flow("broken")
    langflow.add_flow("fine")
    langflow.script(Fault(path=f"/api/v1/flows/{broken}", status=422))
    look(flow_assets())
    specs = specs_of(flow_assets())
    assert specs["fine"].code_version is not None
    assert specs["broken"].code_version is None
    look(flow_assets())
    assert specs_of(flow_assets())["broken"].code_version is not None


def test_a_code_server_that_stays_the_same_is_reloaded_once(langflow: FakeLangflow, dagster: FakeDagster) -> None:
    langflow.add_flow("label")
    loaded = flow_assets()
    _, cursor = look(loaded)
    said, cursor = look(loaded, cursor)
    assert said is not None
    assert "Restart its code server." in said
    assert len(reloads(dagster)) == 1
    langflow.add_flow("another")
    look(loaded, cursor)
    assert len(reloads(dagster)) == 2


def test_what_keeps_a_change_from_dagster_fails_the_tick(langflow: FakeLangflow, dagster: FakeDagster) -> None:
    langflow.add_flow("label")
    dagster.reloaded = {"__typename": "PythonError", "message": "No such module."}
    with pytest.raises(WebserverError, match="Dagster did not reload code location 'project': No such module"):
        look(flow_assets())
    langflow.script(Fault(path="/api/v1/flows", status=403))
    with pytest.raises(LangflowError):
        look(flow_assets())


def test_what_is_kept_and_cannot_be_read_is_asked_for_again(
    langflow: FakeLangflow, dagster: FakeDagster, tmp_path: Path
) -> None:
    langflow.add_flow("label")
    look(flow_assets())
    langflow.add_flow("another")
    _, cursor = look(flow_assets())
    (kept,) = (tmp_path / "storage").rglob("*.json")
    kept.write_text('[{"id": 1}]')
    assert specs_of(flow_assets()).keys() == set()
    look(flow_assets(), cursor)
    assert len(reloads(dagster)) == 3
    assert specs_of(flow_assets()).keys() == {"label", "another"}
