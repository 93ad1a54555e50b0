"""Which of Dagster's runs are pruned, and what is left of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.runs.schema import RunsTable

from dagma.retention.runs import prune_runs

PARTITIONS = dg.StaticPartitionsDefinition(["a", "b"])


@dg.asset
def answer() -> int:
    print("an answer")
    return 1


@dg.asset(partitions_def=PARTITIONS)
def answers() -> int:
    return 1


@dg.asset_check(asset=answer)
def is_good() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.op
def see(context: dg.OpExecutionContext) -> None:
    context.log_event(dg.AssetObservation("source"))


@dg.job(executor_def=dg.in_process_executor)
def seeing_job() -> None:
    see()


@dg.op
def number() -> int:
    return 1


@dg.op
def show(number: int) -> None:
    print(number)


@dg.job(executor_def=dg.in_process_executor)
def plain_job() -> None:
    show(number())


def execute_plain(instance: dg.DagsterInstance, days: int) -> str:
    """Execute a job without assets, and age its run; its first op stores its output as a file."""
    with dg.execute_job(dg.reconstructable(make_plain_job), instance) as result:
        assert result.success
    return aged(instance, result.run_id, days)


def make_plain_job() -> dg.JobDefinition:
    return plain_job


def plain(instance: dg.DagsterInstance, days: int) -> str:
    """Store a run without events, and age it."""
    run = dg.DagsterRun(job_name="j", status=dg.DagsterRunStatus.SUCCESS)
    instance.add_run(run)
    return aged(instance, run.run_id, days)


def materialize(
    instance: dg.DagsterInstance, days: int, asset: dg.AssetsDefinition = answer, partition: str | None = None
) -> str:
    result = dg.materialize([asset], instance=instance, partition_key=partition)
    return aged(instance, result.run_id, days)


def aged(instance: dg.DagsterInstance, run_id: str, days: int) -> str:
    then = datetime.now(UTC) - timedelta(days=days)
    naive = then.replace(tzinfo=None)
    run = RunsTable.c.run_id == run_id
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(RunsTable.update().where(run).values(create_timestamp=naive, update_timestamp=naive))
        connection.execute(
            RunsTable.update()
            .where(run & RunsTable.c.end_time.is_not(None))
            .values(start_time=then.timestamp(), end_time=then.timestamp())
        )
    return run_id


def stored(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def prune(instance: dg.DagsterInstance) -> int:
    return prune_runs(instance, days=30)


def test_an_old_run_goes_with_its_events_logs_and_values(instance_on_disk: dg.DagsterInstance) -> None:
    instance = instance_on_disk
    old, young = execute_plain(instance, 31), execute_plain(instance, 29)
    base = Path(instance.storage_directory())
    logs = Path(instance.compute_log_manager.get_log_metadata([old, "compute_logs", "x"]).stdout_location).parents[1]
    assert (base / old).is_dir()
    assert logs.is_dir()

    assert prune(instance) == 1

    assert stored(instance) == {young}
    assert instance.all_logs(old) == []
    assert instance.all_logs(young)
    assert not (base / old).exists()
    assert (base / young).is_dir()
    assert not logs.exists()


def test_a_prune_that_is_ended_amid_a_run_leaves_no_events_behind(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = plain(instance, 31)
    instance.report_engine_event("something", instance.get_run_by_id(old))

    def end(_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as ended:
        ended.setattr(instance.run_storage, "delete_run", end)
        with pytest.raises(KeyboardInterrupt):
            prune(instance)
    assert instance.all_logs(old) == []
    assert stored(instance) == {old}
    assert prune(instance) == 1


def test_zero_days_keep_everything(instance: dg.DagsterInstance) -> None:
    run = plain(instance, 4000)
    assert prune_runs(instance, days=0) == 0
    assert stored(instance) == {run}


def test_more_runs_than_a_batch_holds_are_pruned(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagma.retention.runs.RUNS_AT_ONCE", 2)
    old = [plain(instance, 31) for _ in range(3)]
    latest = materialize(instance, 31)
    old += [plain(instance, 31) for _ in range(2)]
    assert prune(instance) == 5
    assert stored(instance) == {latest}


def test_the_latest_materialization_of_an_asset_stays_with_its_run(instance: dg.DagsterInstance) -> None:
    materialize(instance, 90)
    latest = materialize(instance, 60)

    assert prune(instance) == 1

    assert stored(instance) == {latest}
    event = instance.get_latest_materialization_event(answer.key)
    assert event is not None
    assert event.run_id == latest
    assert len(instance.fetch_materializations(answer.key, limit=10).records) == 1


def test_the_latest_of_each_partition_stays(instance: dg.DagsterInstance) -> None:
    materialize(instance, 90, answers, "a")
    latest_of_a = materialize(instance, 80, answers, "a")
    latest_of_b = materialize(instance, 70, answers, "b")

    assert prune(instance) == 1

    assert stored(instance) == {latest_of_a, latest_of_b}
    assert instance.get_materialized_partitions(answers.key) == {"a", "b"}


def test_a_materialization_that_a_younger_one_follows_goes(instance: dg.DagsterInstance) -> None:
    materialize(instance, 31)
    young = materialize(instance, 1)
    assert prune(instance) == 1
    assert stored(instance) == {young}


def test_no_run_of_a_wiped_asset_stays(instance: dg.DagsterInstance) -> None:
    for _ in range(2):
        materialize(instance, 31)
    instance.wipe_assets([answer.key])
    assert prune(instance) == 2


def test_the_latest_observation_stays(instance: dg.DagsterInstance) -> None:
    runs = [aged(instance, seeing_job.execute_in_process(instance=instance).run_id, 31) for _ in range(2)]
    assert prune(instance) == 1
    assert stored(instance) == {runs[1]}
    assert instance.fetch_observations(dg.AssetKey("source"), limit=1).records[0].run_id == runs[1]


def test_the_latest_evaluation_of_a_check_stays_and_older_ones_go(instance: dg.DagsterInstance) -> None:
    materialize(instance, 40)
    runs = [evaluate(instance, is_good) for _ in range(2)]

    assert prune(instance) == 1

    assert runs[1] in stored(instance)
    storage = instance.event_log_storage
    with storage.index_connection() as connection:  # type: ignore[attr-defined]
        kept = connection.execute(AssetCheckExecutionsTable.select()).mappings().all()
    assert [row["run_id"] for row in kept] == [runs[1]]


def test_the_latest_evaluation_of_a_check_stays_beside_a_later_run_that_failed(instance: dg.DagsterInstance) -> None:
    @dg.asset_check(asset=answer, name="is_good")
    def is_broken() -> dg.AssetCheckResult:
        raise RuntimeError("no")

    materialized = materialize(instance, 40)
    _old, evaluated, _failed = (evaluate(instance, check) for check in (is_good, is_good, is_broken))
    assert prune(instance) == 2
    assert stored(instance) == {materialized, evaluated}


def evaluate(instance: dg.DagsterInstance, check: dg.AssetChecksDefinition) -> str:
    graph = dg.Definitions(assets=[answer], asset_checks=[check]).resolve_asset_graph()
    job = dg.define_asset_job("checked", dg.AssetSelection.checks(check)).resolve(asset_graph=graph)
    return aged(instance, job.execute_in_process(instance=instance, raise_on_error=False).run_id, 31)


def test_a_run_that_began_long_ago_and_ended_lately_stays(instance: dg.DagsterInstance) -> None:
    run = plain(instance, 31)
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(RunsTable.update().values(end_time=datetime.now(UTC).timestamp()))
    assert prune(instance) == 0
    assert stored(instance) == {run}
