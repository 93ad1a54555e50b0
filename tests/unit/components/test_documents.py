"""The examples of docs/tables.md do what they say."""

from typing import Any

import dagster as dg
import pytest
import yaml
from unit.batches.conftest import QUICK, Flow, labels
from unit.docs.test_examples import block_with, blocks

from dagma import FlowTable, langflow_from_environment
from dagma.testing import FakeLangflow


def test_the_yaml_of_the_page_declares_a_table(fake: FakeLangflow) -> None:
    (block,) = [block for block in blocks("docs/tables.md", "yaml") if "dagma.FlowTable" in block]
    asset = FlowTable.resolve_from_dict(yaml.safe_load(block)["attributes"]).build_asset()
    assert asset.key == dg.AssetKey("reviews_labelled")


def test_the_assets_of_the_page_materialize(fake: FakeLangflow, flow: Flow) -> None:
    flow.says = labels
    names: dict[str, Any] = {"__name__": "page"}
    for text in ("from dagma import flow_table", "def label_counts("):
        exec(block_with("docs/tables.md", text), names)  # noqa: S102 (our own document)
    assets = [names["reviews_labelled"], names["label_counts"]]
    done = dg.materialize(assets, resources={"backend": langflow_from_environment(QUICK)})
    assert done.output_for_node("label_counts") == {"positive": 2}


def test_the_loop_of_the_page_prints_an_answer_for_each_row(
    fake: FakeLangflow, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.says = labels
    exec(block_with("docs/tables.md", "from dagma import ask_rows"), {})  # noqa: S102 (our own document)
    assert sorted(capsys.readouterr().out.splitlines()) == ["1 {'label': 'positive'}", "2 {'label': 'positive'}"]
