"""Which runs share their calls: those that resume another, and none that starts over."""

from types import SimpleNamespace
from typing import cast

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from dagma.calls.request import Caller, principal_of, scope_of

FROM_ASSET_FAILURE = {"dagster/is_asset_resume_retry": "true"}
FAILING = {"fails": "true"}
scopes: list[str] = []
principals: list[str] = []


@dg.asset
def easy() -> None:
    pass


@dg.asset(deps=[easy])
def asking(context: dg.AssetExecutionContext) -> None:
    current = Caller.current(None)
    assert Caller.current(None) is current, "the runs before are looked at once for all calls of a step"
    scopes.append(current.scope)
    principals.append(current.principal)
    if "fails" in context.run.tags:
        raise dg.Failure(allow_retries=False)


both = dg.Definitions([easy, asking], executor=dg.in_process_executor).resolve_implicit_global_asset_job_def()


def execute(
    instance: dg.DagsterInstance, tags: dict[str, str], *assets: str, parent: dg.DagsterRun | None = None
) -> tuple[dg.DagsterRun, str]:
    """Run the assets, by default both; give the run and the scope of its call."""
    selection = frozenset(map(dg.AssetKey, assets)) or None
    run = instance.create_run_for_job(
        both.get_subset(asset_selection=selection) if selection else both,
        tags=tags,
        asset_selection=selection,
        parent_run_id=parent and parent.run_id,
        root_run_id=parent and (parent.root_run_id or parent.run_id),
    )
    execute_run(InMemoryJob(both), run, instance, raise_on_error=False)
    return run, scopes[-1]


@pytest.mark.parametrize(
    "tags",
    [{"dagster/retry_number": "1"}, {"dagster/is_resume_retry": "true"}, FROM_ASSET_FAILURE],
    ids=["Dagster's own retry", "from failure", "from asset failure"],
)
def test_a_run_that_resumes_another_shares_its_calls(instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
    first, scope = execute(instance, FAILING)
    assert execute(instance, tags, "asking", parent=first)[1] == scope == first.run_id


def test_each_resumption_from_asset_failure_shares_the_calls_of_the_first_run(instance: dg.DagsterInstance) -> None:
    first, scope = execute(instance, FAILING)
    second, _ = execute(instance, {**FROM_ASSET_FAILURE, **FAILING}, "asking", parent=first)
    third, _ = execute(instance, {**FROM_ASSET_FAILURE, **FAILING}, "asking", parent=second)
    assert execute(instance, FROM_ASSET_FAILURE, "asking", parent=third)[1] == scope == first.run_id


@pytest.mark.parametrize(("assets", "tags"), [(["asking"], {}), (["easy", "asking"], FAILING)], ids=["all", "some"])
def test_all_steps_of_a_resumption_that_made_assets_of_its_own_start_over(
    instance: dg.DagsterInstance, assets: list[str], tags: dict[str, str]
) -> None:
    first, _ = execute(instance, FAILING)
    second, _ = execute(instance, {**FROM_ASSET_FAILURE, **tags}, *assets, parent=first)
    third, scope = execute(instance, FROM_ASSET_FAILURE, *assets, parent=second)
    assert scope == third.run_id


def test_the_inherited_mark_can_be_taken_away_to_start_over(instance: dg.DagsterInstance) -> None:
    first, _ = execute(instance, FAILING)
    second, _ = execute(instance, {**FROM_ASSET_FAILURE, **FAILING}, "asking", parent=first)
    third, scope = execute(instance, {"dagster/is_asset_resume_retry": "false"}, "asking", parent=second)
    assert scope == third.run_id


def test_the_chain_of_a_retry_leads_back_to_its_scope_and_not_beyond(instance: dg.DagsterInstance) -> None:
    first, _ = execute(instance, {})
    again, scope = execute(instance, {}, parent=first)
    second, _ = execute(instance, {"dagster/retry_number": "1"}, "asking", parent=again)
    third, _ = execute(instance, {"dagster/is_resume_retry": "true"}, "asking", parent=second)
    assert scope_of(third, instance) == scope
    instance.delete_run(second.run_id)
    assert scope_of(third, instance) == second.run_id


@pytest.mark.parametrize(
    ("tags", "principal"),
    [
        ({"dagma/principal": "cli:anna", "dagster/schedule_name": "daily"}, "cli:anna"),
        ({"dagster/schedule_name": "daily"}, "schedule:daily"),
        ({"dagster/sensor_name": "new_files", "dagster/from_automation_condition": "true"}, "sensor:new_files"),
        ({"dagster/from_automation_condition": "true"}, "automation"),
        ({"dagster/auto_materialize": "true", "dagster/backfill": "b7"}, "automation"),
        ({"dagster/backfill": "b7"}, "backfill:b7"),
        ({}, "program"),
    ],
)
def test_the_tags_of_a_run_tell_who_asked(instance: dg.DagsterInstance, tags: dict[str, str], principal: str) -> None:
    run, _ = execute(instance, tags)
    assert principal_of(run) == principals[-1] == principal


def test_a_run_without_such_tags_that_a_webserver_launched_is_of_its_ui() -> None:
    launched = SimpleNamespace(tags={}, remote_job_origin=object())
    assert principal_of(cast("dg.DagsterRun", launched)) == "ui"


def test_a_program_without_dagster_asks_for_itself() -> None:
    assert Caller.current(None).principal == "program"
