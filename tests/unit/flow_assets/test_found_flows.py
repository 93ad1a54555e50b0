"""A name in Langflow that the project uses already takes no asset away but its own."""

import dagster as dg
import pytest
from unit.flow_assets.conftest import seen

from dagma import FlowSettings
from dagma.components.found_flows import without_flows_of_taken_names
from dagma.project_definitions import with_defaults
from dagma.testing import FakeLangflow


@dg.asset
def reviews() -> list[str]:
    return ["Fine."]


@dg.op
def sort() -> None: ...


@dg.job
def nightly() -> None:
    sort()


@dg.multi_asset(specs=[dg.AssetSpec("sorted_reviews")], name="label")
def label_step() -> None: ...


@dg.asset(key_prefix="shop")
def prices() -> None: ...


@dg.asset_check(asset=reviews)
def are_fine() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.schedule(cron_schedule="@daily", target=[reviews])
def fresh_schedule() -> None: ...


OWN = dg.Definitions(
    assets=[reviews, label_step, prices, dg.AssetSpec("orders"), dg.SourceAsset("clicks")],
    asset_checks=[are_fine],
    jobs=[nightly, dg.define_asset_job("refresh", [reviews])],
    schedules=[
        fresh_schedule,
        dg.ScheduleDefinition(job=dg.define_asset_job("weekly", [prices]), cron_schedule="@weekly"),
    ],
)
TAKEN = {
    "asset": "Reviews",
    "asset of another place": "Orders",
    "source": "Clicks",
    "step of an asset": "Label",
    "step of an asset with two parts": "shop__prices",
    "check": "reviews are fine",
    "op of a job": "sort",
    "job": "Nightly",
    "job of assets": "refresh",
    "job of a schedule": "weekly",
    "schedule": "fresh",
}


def loaded(*parts: dg.Definitions) -> dg.Definitions:
    """What the code location has of these parts, all of which load."""
    defs = without_flows_of_taken_names(with_defaults(dg.Definitions.merge(*parts)))
    dg.Definitions.validate_loadable(defs)
    return defs


def keys_of(defs: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in defs.resolve_all_asset_keys()}


@pytest.mark.parametrize("flows_first", [True, False], ids=["flows first", "flows last"])
def test_flows_of_taken_names_are_left_out_with_their_schedules_and_a_warning(
    langflow: FakeLangflow, caplog: pytest.LogCaptureFixture, flows_first: bool
) -> None:
    ids = {name: langflow.add_flow(name) for name in TAKEN.values()}
    langflow.add_flow("another")
    flows = seen(defaults=FlowSettings(schedule="@daily"))
    defs = loaded(*((flows, OWN) if flows_first else (OWN, flows)))
    assert keys_of(defs) == keys_of(OWN) | {"another"}
    names = [schedule.name for schedule in defs.get_repository_def().schedule_defs]
    assert sorted(names) == ["another_schedule", "fresh_schedule", "weekly_schedule"]
    assert [what for what, name in TAKEN.items() if f"{name!r} ({ids[name]}) of 'flows' is no" not in caplog.text] == []


def test_a_flow_that_two_components_find_is_one_asset(langflow: FakeLangflow) -> None:
    langflow.add_flow("label")
    assert keys_of(loaded(seen(name="care"), seen(name="shop"))) == {"label"}


def test_a_flow_that_is_named_keeps_its_asset_from_one_that_another_component_finds(langflow: FakeLangflow) -> None:
    langflow.add_flow("label")
    named = seen(name="shop", flows={"label": FlowSettings(group_name="of_the_shop")})
    (spec,) = loaded(seen(name="care"), named).resolve_all_asset_specs()
    assert spec.group_name == "of_the_shop"


def test_what_is_named_in_the_definitions_and_has_a_taken_name_is_an_error(langflow: FakeLangflow) -> None:
    langflow.add_flow("Reviews")
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="Duplicate asset key"):
        loaded(OWN, seen(flows={"Reviews": FlowSettings()}))
