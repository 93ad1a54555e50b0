"""Flows as assets, written in YAML."""

import re
import textwrap
from typing import Any

import dagster as dg
import pytest
from unit.docs.test_examples import block_with, blocks
from unit.flow_assets.conftest import look, specs_of
from yaml import safe_load

from dagma import Flows, FlowSelection, FlowSettings
from dagma.testing import FakeLangflow


@dg.asset
def reviews() -> list[str]:
    return ["Fine."]


def with_reviews(defs: dg.Definitions) -> dg.Definitions:
    return dg.Definitions.merge(defs, dg.Definitions([reviews]))


def attributes_of(document: str) -> str:
    """The attributes of a `defs.yaml`, as text."""
    assert safe_load(document)["type"] == "dagma.Flows"
    return textwrap.dedent(document.partition("attributes:\n")[2])


def load(attributes: str) -> dg.Definitions:
    """Make the definitions, after the server was asked."""
    look(Flows.resolve_from_yaml(attributes).definitions())
    return Flows.resolve_from_yaml(attributes).definitions()


def test_the_yaml_of_the_page_makes_what_it_says(langflow: FakeLangflow) -> None:
    for name in ("label-reviews", "label-mails", "ask"):
        langflow.add_flow(name, project="Customer care" if name != "ask" else None)
    (document,) = [block for block in blocks("docs/flow-assets.md", "yaml") if "select:" in block]
    defs = load(attributes_of(document))
    specs = specs_of(with_reviews(defs))
    assert specs.keys() == {"label_reviews", "label_mails", "weekly_report", "reviews"}
    assert specs["label_mails"].owners == ["team:care"]
    assert specs["weekly_report"].automation_condition == dg.AutomationCondition.eager()
    assert [schedule.name for schedule in defs.schedules or []] == ["label_reviews_schedule"]


def test_every_setting_can_stand_in_yaml(langflow: FakeLangflow) -> None:
    langflow.add_flow("label")
    attributes = """
        select: {project: [Nowhere], tag: none}
        flows:
          label:
            key: care/labels
            input: "{{ partition_key }} {{ config.tone }}"
            tweaks: {ChatInput-1: {sender: "{{ tags.who }}", size: "{{ config.size }}"}}
            session: "{{ partition_key }}"
            config: {tone: short, size: 3}
            mode: direct
            input_type: text
            output_type: any
            pool: slow
            max_retries: 2
            deps: [reviews, shop/orders]
            description: What we make of it.
            group_name: labels
            owners: [ann@example.org]
            tags: {tier: one}
            kinds: [table]
            metadata: {reviewed: true}
            partitions_def: {type: daily, start_date: "2026-01-01"}
            freshness_policy: "{{ dg.FreshnessPolicy.time_window(fail_window=datetime.timedelta(hours=24)) }}"
    """
    spec = specs_of(load(textwrap.dedent(attributes)))["care/labels"]
    assert {dep.asset_key.to_user_string() for dep in spec.deps} == {"reviews", "shop/orders"}
    assert spec.description is not None
    assert spec.description.startswith("What we make of it.\n\n![The graph of label]")
    assert isinstance(spec.partitions_def, dg.DailyPartitionsDefinition)
    assert spec.freshness_policy is not None
    assert spec.metadata["reviewed"] is True


@pytest.mark.parametrize(
    ("attributes", "cause"),
    [
        ("flows: {label: {inputs: x}}", "inputs"),
        ("select: {colour: red}", "colour"),
        ("flows: {label: {mode: fast}}", "mode is 'fast'. Set it to one of: auto, direct, job."),
    ],
)
def test_a_setting_that_there_is_not_is_refused(langflow: FakeLangflow, attributes: str, cause: str) -> None:
    with pytest.raises(Exception, match=cause):
        Flows.resolve_from_yaml(attributes)


@pytest.mark.parametrize("attribute", ["deps", "owners", "kinds", "config", "metadata", "tags", "tweaks", "files"])
def test_a_text_is_refused_where_a_list_or_an_object_belongs(attribute: str) -> None:
    for attributes in (f"flows: {{label: {{{attribute}: a}}}}", f"defaults: {{{attribute}: a}}"):
        with pytest.raises(Exception, match=re.escape(f"{attribute} is a text. Write a list, [a], or an object")):
            Flows.resolve_from_yaml(attributes)


def test_a_template_may_give_a_list_or_an_object() -> None:
    scope = {"mine": ["reviews"], "labels": {"tier": "one"}, "fewer": FlowSelection(name="a*")}
    attributes = (
        "{select: '{{ fewer }}', defaults: {kinds: '{{ mine }}', deps: ['{{ mine[0] }}'], tags: '{{ labels }}'}}"
    )
    flows = Flows.resolve_from_yaml(attributes, scope=scope)
    assert flows.select == scope["fewer"]
    assert flows.defaults == FlowSettings(kinds=["reviews"], deps=[dg.AssetKey("reviews")], tags={"tier": "one"})


def test_the_python_of_the_page_makes_what_it_says(langflow: FakeLangflow) -> None:
    langflow.add_flow("long", project="Customer care", flow={"tags": ["slow"]})
    names: dict[str, Any] = {"__name__": "flows"}
    exec(block_with("docs/flow-assets.md", "flow_assets("), names)  # noqa: S102 (our own document)
    look(names["defs"])
    exec(block_with("docs/flow-assets.md", "flow_assets("), names)  # noqa: S102
    specs = specs_of(names["defs"])
    assert specs.keys() == {"label_reviews", "long"}
    assert specs["long"].group_name == "slow"
