"""Flows as assets: which there are, and what is said of them."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dagster as dg
import pytest
from unit.flow_assets.conftest import look, seen, specs_of

from dagma import FlowOutline, Flows, FlowSelection, FlowSettings, flow_assets
from dagma.langflow import LangflowError
from dagma.testing import FakeLangflow, Fault


def run_flow(called: str, field: str = "flow_name_selected") -> dict[str, Any]:
    """The graph of a flow that calls another."""
    node = {"display_name": "Run Flow", "template": {field: {"value": called}}}
    return {"data": {"nodes": [{"id": "RunFlow-1", "data": {"type": "RunFlow", "node": node}}], "edges": []}}


def test_each_flow_of_the_server_is_an_asset(langflow: FakeLangflow) -> None:
    flow_id = langflow.add_flow(
        "Sort reviews",
        endpoint_name="sort-reviews",
        project="Customer care",
        flow={"description": "Says who is <unhappy>.\nSee ![me](http://evil.example/x.png)", "tags": ["nightly"]},
    )
    spec = specs_of(seen())["sort_reviews"]
    assert spec.group_name == "customer_care"
    assert spec.kinds == {"langflow"}
    assert spec.tags["nightly"] == ""
    assert spec.code_version is not None
    assert spec.metadata["flow_id"] == flow_id
    assert spec.metadata["flow_url"].value == f"http://langflow.example/flow/{flow_id}"
    assert spec.description is not None
    assert spec.description.startswith("Says who is \\<unhappy\\>.\nSee \\!\\[me\\](http")
    assert f"[Open it in Langflow](http://langflow.example/flow/{flow_id})" in spec.description
    picture = unquote(spec.description.partition("data:image/svg+xml,")[2])
    assert "Chat Input</text>" in picture
    assert "Chat Output</text>" in picture


@pytest.mark.parametrize(
    ("select", "keys"),
    [
        (FlowSelection(), {"ask", "label", "label_2"}),
        (FlowSelection(project="Care"), {"label", "label_2"}),
        (FlowSelection(name="label*"), {"label", "label_2"}),
        (FlowSelection(name=["ask", "nothing"]), {"ask"}),
        (FlowSelection(tag="nightly"), {"label"}),
        (FlowSelection(name="Label", tag="weekly"), set()),
        (FlowSelection(id="da90a000-0000-4000-8000-00000000000a"), {"ask"}),
    ],
)
def test_flows_are_selected_by_project_name_tag_and_id(
    langflow: FakeLangflow, select: FlowSelection, keys: set[str]
) -> None:
    langflow.add_flow("ask", flow_id="da90a000-0000-4000-8000-00000000000a")
    langflow.add_flow("Label", endpoint_name="label", project="Care", flow={"tags": ["nightly", "dagma-synced:0"]})
    langflow.add_flow("Other", endpoint_name="label-2", project="Care")
    assert specs_of(seen(select=select)).keys() == keys


def test_settings_say_of_a_flow_what_the_defaults_do_not(langflow: FakeLangflow) -> None:
    langflow.add_flow("label", project="Care")
    langflow.add_flow("ask", project="Care")
    defs = seen(
        defaults=FlowSettings(owners=["team:llm"], tags={"tier": "two", "cost": "low"}, pool="small"),
        flows={
            "label": FlowSettings(
                key=dg.AssetKey(["care", "labels"]),
                deps=[dg.AssetKey("reviews")],
                group_name="reviews",
                kinds=["table"],
                tags={"tier": "one"},
                automation_condition=dg.AutomationCondition.code_version_changed(),
                partitions_def=dg.StaticPartitionsDefinition(["a", "b"]),
            )
        },
    )
    label, ask = specs_of(defs)["care/labels"], specs_of(defs)["ask"]
    assert [dep.asset_key for dep in label.deps] == [dg.AssetKey("reviews")]
    assert (label.group_name, ask.group_name) == ("reviews", "care")
    assert label.kinds == {"langflow", "table"}
    assert (label.tags["tier"], label.tags["cost"], ask.tags["tier"]) == ("one", "low", "two")
    assert label.owners == ask.owners == ["team:llm"]
    assert label.automation_condition is not None
    assert label.partitions_def is not None
    assert {asset.op.pool for asset in defs.assets or [] if isinstance(asset, dg.AssetsDefinition)} == {"small"}


def test_one_function_decides_by_the_flow_what_its_asset_is(langflow: FakeLangflow) -> None:
    def adjust(flow: FlowOutline, settings: FlowSettings) -> FlowSettings:
        key = settings.asset_key.with_prefix("llm")
        return replace(settings, key=key, group_name=f"of_{len(flow.components)}", pool="mine")

    class Ours(Flows):
        def get_settings(self, flow: FlowOutline) -> FlowSettings:
            return adjust(flow, super().get_settings(flow))

    langflow.add_flow("label")
    for defs in (seen(get_settings=adjust), Ours().definitions()):
        assert specs_of(defs)["llm/label"].group_name == "of_2"


def test_keys_and_deps_may_be_given_as_texts(langflow: FakeLangflow) -> None:
    as_texts: dict[str, Any] = {"deps": ["reviews"], "input": "{{ upstream.reviews }}"}

    def adjust(flow: FlowOutline, settings: FlowSettings) -> FlowSettings:
        return replace(settings, key=f"{settings.asset_key.to_user_string()}_of_{flow.name}", **as_texts)  # type: ignore[arg-type]

    named: dict[str, Any] = {"label": FlowSettings(key="mine", **as_texts)}  # type: ignore[arg-type]
    langflow.add_flow("ask")
    for options, keys in (({}, {"mine", "ask"}), ({"get_settings": adjust}, {"mine_of_label", "ask_of_ask"})):
        assets = [each for each in seen(flows=named, **options).assets or [] if isinstance(each, dg.AssetsDefinition)]
        assert {asset.key.to_user_string() for asset in assets} == keys
        mine = next(asset for asset in assets if asset.key.path[0].startswith("mine"))
        assert set(mine.keys_by_input_name.values()) == {dg.AssetKey("reviews")}


def test_settings_of_ones_own_without_a_key_are_refused_with_the_fix(langflow: FakeLangflow) -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=r"has no key\. Change what super\(\)"):
        flow_assets(flows={"label": FlowSettings()}, get_settings=lambda _flow, _settings: FlowSettings())


def test_a_flow_that_calls_another_depends_on_it(langflow: FakeLangflow, caplog: pytest.LogCaptureFixture) -> None:
    langflow.add_flow("Summary", endpoint_name="summary", flow=run_flow("Label"))
    label_id = langflow.add_flow("Label", endpoint_name="label")
    langflow.add_flow("Report", endpoint_name="report", flow=run_flow(label_id, "flow_id_selected"))
    langflow.add_flow("Stranger", endpoint_name="stranger", flow=run_flow("Nobody"))
    deps = {key: {dep.asset_key.to_user_string() for dep in spec.deps} for key, spec in specs_of(seen()).items()}
    assert deps == {"summary": {"label"}, "report": {"label"}, "stranger": set(), "label": set()}

    langflow.add_flow("Label", endpoint_name="label", flow_id=label_id, flow=run_flow("Summary"))
    deps = {key: {dep.asset_key.to_user_string() for dep in spec.deps} for key, spec in specs_of(seen()).items()}
    assert sorted([deps["summary"], deps["label"]], key=len)[0] == set()
    assert "the lineage leaves this call out" in caplog.text


def test_a_broken_flow_is_a_warning(langflow: FakeLangflow, caplog: pytest.LogCaptureFixture) -> None:
    def adjust(flow: FlowOutline, settings: FlowSettings) -> FlowSettings:
        return replace(settings, owners=["nobody at all"]) if flow.tags else settings

    langflow.add_flow("fine")
    langflow.add_flow("odd", flow={"tags": ["odd"], "data": {"nodes": [None, {"data": 3}, "x"], "edges": 4}})
    langflow.add_flow("twice")
    langflow.add_flow("Twice", endpoint_name="TWICE")
    with caplog.at_level(logging.WARNING):
        defs = seen(get_settings=adjust)
    assert specs_of(defs).keys() == {"fine", "twice"}
    assert "The flow 'odd'" in caplog.text
    assert "would both be the asset 'twice'. Give the second one another key" in caplog.text


def test_nobody_takes_the_asset_of_a_flow_that_is_named_by_calling_another_flow_the_same(
    langflow: FakeLangflow,
) -> None:
    flow_id = langflow.add_flow("Sort reviews", endpoint_name="label", flow={"tags": ["x" * 80, "a b"]})
    langflow.add_flow("label", endpoint_name="other", flow_id="00000000-0000-4000-8000-000000000001")
    specs = specs_of(seen(flows={"label": FlowSettings()}))
    assert specs.keys() == {"label"}
    assert specs["label"].metadata["flow_id"] == flow_id
    assert "a_b" in specs["label"].tags


ODD_NAMES = ["", "客户", "订单", "🎉", "a/b", "x" * 5_000, "<b>[x](http://evil)", "a\0b c", "123"]


def test_flows_with_odd_names_are_an_asset_each(langflow: FakeLangflow) -> None:
    for name in ODD_NAMES:
        langflow.add_flow(name, endpoint_name=f"endpoint-{name}", project=name or None, flow={"tags": [name]})
    odd = {"id": "Odd-1", "data": {"node": {"display_name": "half an emoji: \ud83d"}}}
    langflow.add_flow("odd", flow={"data": {"nodes": [odd], "edges": []}})

    def by_name(flow: FlowOutline, settings: FlowSettings) -> FlowSettings:
        return Flows().get_settings(replace(flow, endpoint_name=None)) if flow.name != "odd" else settings

    specs = specs_of(seen(get_settings=by_name))
    assert {spec.metadata["flow_name"] for spec in specs.values()} == {*ODD_NAMES, "odd"}
    assert max(map(len, specs)) == 100
    assert "an%20emoji" in (specs["odd"].description or "")


def test_two_flows_that_are_named_with_one_key_are_refused(langflow: FakeLangflow) -> None:
    same = FlowSettings(key=dg.AssetKey("same"))
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="would both be the asset 'same'"):
        flow_assets(flows={"one": same, "two": same})


def test_what_is_wrong_with_a_flow_that_is_named_is_an_error(langflow: FakeLangflow) -> None:
    langflow.add_flow("label")
    with pytest.raises(ValueError, match=r"The input of the flow asset 'label' uses rwo, which does not exist"):
        flow_assets(flows={"label": FlowSettings(input="{{ rwo.text }}")})
    with pytest.raises(ValueError, match=r"'label' uses upstream\.reviewz, which is no dep of it\. Its deps: reviews"):
        flow_assets(flows={"label": FlowSettings(input="{{ upstream.reviewz }}", deps=[dg.AssetKey("reviews")])})
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="The config of the flow asset 'label' has rows"):
        flow_assets(flows={"label": FlowSettings(config={"rows": []})})


def test_what_is_wrong_with_the_defaults_is_an_error_and_not_a_warning_for_each_flow(langflow: FakeLangflow) -> None:
    for wrong, told in (
        (FlowSettings(schedule="daily"), "invalid cron"),
        (FlowSettings(owners=["bob"]), "owner 'bob'"),
    ):
        with pytest.raises(dg.DagsterError, match=told) as raised:
            flow_assets(defaults=wrong)
        assert raised.value.__notes__ == ["defaults"]
    flow_assets(flows={"a": FlowSettings(config={"tone": "brief"})}, defaults=FlowSettings(input="{{ config.tone }}"))


def test_a_flow_that_is_named_is_an_asset_also_before_the_server_was_asked(langflow: FakeLangflow) -> None:
    langflow.add_flow("Label reviews", endpoint_name="label-reviews")
    settings = {"label-reviews": FlowSettings(), "gone": FlowSettings()}
    before = specs_of(flow_assets(flows=settings))
    after = specs_of(seen(flows=settings))
    assert before.keys() == after.keys() == {"label_reviews", "gone"}
    assert before["label_reviews"].code_version is None
    assert after["label_reviews"].code_version is not None


def test_what_was_seen_last_serves_while_langflow_is_away(langflow: FakeLangflow) -> None:
    langflow.add_flow("label")
    before = specs_of(seen())
    requests = len(langflow.requests)
    assert specs_of(flow_assets()) == before
    assert len(langflow.requests) == requests, "loading asks nobody"
    langflow.script(Fault(path="/api/v1/flows", status=503, times=9))
    with pytest.raises(LangflowError):
        look(flow_assets())
    assert specs_of(flow_assets()) == before


def test_the_files_stand_in_until_the_server_was_asked(langflow: FakeLangflow, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/label.json").write_text(
        '{"id": "da90a000-0000-4000-8000-00000000000b", "name": "A label", "endpoint_name": "label", "data": {}}'
    )
    (tmp_path / "flows/broken.json").write_text("{")
    specs = specs_of(flow_assets())
    assert specs.keys() == {"label"}
    assert specs["label"].code_version is None, "the server's would be another one"
    langflow.add_flow("other")
    assert specs_of(seen()).keys() == {"other"}


def test_files_give_the_flows_with_their_versions(langflow: FakeLangflow, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/label.json").write_text('{"id": "1", "name": "Label", "data": {"nodes": [{"id": "A"}]}}')
    specs = specs_of(flow_assets(from_files=True))
    assert specs["label"].code_version is not None
    assert specs["label"].group_name == "langflow"
    assert langflow.requests == []
