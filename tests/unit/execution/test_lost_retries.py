from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from dagma.defs.llm import sensors
from dagma.execution import lost_retries
from dagma.execution.webserver import LaunchRefusedError, WebserverError

NEW_RUN = "00000000-0000-4000-8000-000000000009"


@pytest.fixture
def instance(dagster_home: str) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(
        temp_dir=dagster_home,
        overrides={"run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}},
    ) as instance:
        yield instance


class RecordingWebserver:
    """Launches retries, or refuses to."""

    def __init__(self) -> None:
        self.retried: list[tuple[str, str, Mapping[str, str]]] = []
        self.locations: list[str] = []
        self.away = False
        self.meanwhile: Callable[[], object] = lambda: None
        self.fails: dict[str, Exception] = {}

    def at(self, location: str) -> "RecordingWebserver":
        self.locations.append(location)
        return self

    def check_location(self) -> None:
        if self.away:
            raise WebserverError("it does not answer")

    def retry(self, run_id: str, strategy: str, tags: Mapping[str, str]) -> str:
        self.meanwhile()
        if run_id in self.fails:
            raise self.fails[run_id]
        self.retried.append((run_id, strategy, tags))
        return NEW_RUN


@pytest.fixture
def webserver(monkeypatch: pytest.MonkeyPatch) -> RecordingWebserver:
    recording = RecordingWebserver()
    monkeypatch.setattr(sensors.Webserver, "from_environment", lambda: recording)
    return recording


def failed_run(
    instance: dg.DagsterInstance,
    *,
    reason: str = "UNEXPECTED_TERMINATION",
    given_up: bool = True,
    tags: Mapping[str, str] | None = None,
    parent: dg.DagsterRun | None = None,
    origin: RemoteJobOrigin | None = None,
) -> dg.DagsterRun:
    """Store a failed run, as Dagster's daemon leaves one."""
    root = (parent.root_run_id or parent.run_id) if parent else None
    family = {"dagster/parent_run_id": parent.run_id, "dagster/root_run_id": root} if parent else {}
    run = dg.DagsterRun(
        job_name="job",
        remote_job_origin=origin,
        status=dg.DagsterRunStatus.FAILURE,
        tags={"dagster/will_retry": "false", "dagster/failure_reason": reason, **family, **(tags or {})},
        parent_run_id=parent.run_id if parent else None,
        root_run_id=root,
    )
    instance.add_run(run)
    if given_up:
        instance.report_engine_event("Failed to retry run", run)
    return run


def evaluate(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorEvaluationContext:
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    assert isinstance(sensors.lost_retries(context), dg.SkipReason)
    return context


def test_a_retry_that_was_given_up_is_made_up_for_once(
    instance: dg.DagsterInstance, webserver: RecordingWebserver
) -> None:
    run = failed_run(instance)
    context = evaluate(instance)
    evaluate(instance, context.cursor)
    assert webserver.retried == [(run.run_id, "FROM_FAILURE", {"dagster/retry_number": "1"})]
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert (stored.tags["dagster/auto_retry_run_id"], stored.tags["dagster/will_retry"]) == (NEW_RUN, "true")


@pytest.mark.parametrize(
    ("asked", "done"), [("ALL_STEPS", "ALL_STEPS"), ("all steps", "FROM_FAILURE")], ids=["known", "unknown"]
)
def test_the_strategy_of_the_run_is_kept_and_its_retries_are_counted(
    instance: dg.DagsterInstance, webserver: RecordingWebserver, asked: str, done: str
) -> None:
    first = failed_run(instance, given_up=False)
    failed_run(instance, parent=first, tags={"dagster/retry_strategy": asked})
    evaluate(instance)
    assert [(strategy, tags) for _, strategy, tags in webserver.retried] == [(done, {"dagster/retry_number": "2"})]


@pytest.mark.parametrize(
    ("reason", "given_up", "tags"),
    [
        ("STEP_FAILURE", True, {}),
        ("UNEXPECTED_TERMINATION", False, {}),
        ("UNEXPECTED_TERMINATION", True, {"dagster/max_retries": "0"}),
        ("UNEXPECTED_TERMINATION", True, {"dagster/auto_retry_run_id": NEW_RUN}),
        ("UNEXPECTED_TERMINATION", True, {"dagster/will_retry": "true"}),
        ("UNEXPECTED_TERMINATION", True, {"dagster/backfill": "cancelled"}),
    ],
    ids=["failed by itself", "no retry was tried", "no retry is allowed", "retried", "to be retried", "cancelled"],
)
def test_other_failed_runs_are_left_alone(
    instance: dg.DagsterInstance, webserver: RecordingWebserver, reason: str, given_up: bool, tags: dict[str, str]
) -> None:
    cancelled = PartitionBackfill(
        "cancelled", BulkActionStatus.CANCELED, from_failure=False, tags={}, backfill_timestamp=0.0, asset_selection=[]
    )
    instance.add_backfill(cancelled)
    failed_run(instance, reason=reason, given_up=given_up, tags=tags)
    evaluate(instance)
    assert webserver.retried == []


def test_a_run_that_somebody_executed_again_is_left_alone(
    instance: dg.DagsterInstance, webserver: RecordingWebserver
) -> None:
    run = failed_run(instance)
    failed_run(instance, parent=run, given_up=False)
    evaluate(instance)
    assert webserver.retried == []


def test_a_run_whose_retries_are_used_up_is_left_alone(
    instance: dg.DagsterInstance, webserver: RecordingWebserver
) -> None:
    first = failed_run(instance, given_up=False)
    second = failed_run(instance, given_up=False, parent=first)
    failed_run(instance, parent=second)
    evaluate(instance)
    assert webserver.retried == []


def test_a_webserver_that_is_away_is_asked_again(instance: dg.DagsterInstance, webserver: RecordingWebserver) -> None:
    run = failed_run(instance)
    webserver.away = True
    with pytest.raises(WebserverError):
        sensors.lost_retries(context := dg.build_sensor_context(instance=instance))
    webserver.away = False
    evaluate(instance, context.cursor)
    assert [run_id for run_id, _, _ in webserver.retried] == [run.run_id]


def test_runs_from_long_before_the_last_evaluation_are_not_looked_at(
    instance: dg.DagsterInstance, webserver: RecordingWebserver
) -> None:
    failed_run(instance)
    evaluate(instance, (datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert webserver.retried == []


def tags_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Mapping[str, str]:
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    return stored.tags


def test_a_run_that_can_not_be_launched_holds_nobody_up_and_is_given_up_in_the_end(
    instance: dg.DagsterInstance, webserver: RecordingWebserver
) -> None:
    good, refused, also_good = (failed_run(instance) for _ in range(3))
    webserver.fails[refused.run_id] = LaunchRefusedError("No steps needed to be retried in the failed run.")
    asked: list[int] = []
    webserver.meanwhile = lambda: asked.append(1)
    context = evaluate(instance)
    assert {run_id for run_id, _, _ in webserver.retried} == {good.run_id, also_good.run_id}
    assert context.cursor is not None
    for _ in range(4):
        context = evaluate(instance, context.cursor)
    assert len(asked) == 2 + lost_retries.MAX_REFUSALS
    events = [entry.dagster_event for entry in instance.all_logs(refused.run_id)]
    told = [event.message or "" for event in events if event is not None and "No steps" in (event.message or "")]
    assert len(told) == lost_retries.MAX_REFUSALS
    assert "not tried again" in told[-1]


def test_evaluations_that_overlap_retry_a_run_once(instance: dg.DagsterInstance, webserver: RecordingWebserver) -> None:
    runs = [failed_run(instance) for _ in range(2)]

    def overlap() -> None:
        webserver.meanwhile = lambda: None
        evaluate(instance)

    webserver.meanwhile = overlap
    evaluate(instance)
    assert sorted(run_id for run_id, _, _ in webserver.retried) == sorted(run.run_id for run in runs)


def test_a_launch_without_an_answer_is_not_repeated_before_it_must_have_ended(
    instance: dg.DagsterInstance, webserver: RecordingWebserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    unanswered, good = failed_run(instance), failed_run(instance)
    webserver.fails[unanswered.run_id] = WebserverError("no answer within 30 s")
    with pytest.raises(WebserverError, match="30 s"):
        sensors.lost_retries(context := dg.build_sensor_context(instance=instance))
    assert [run_id for run_id, _, _ in webserver.retried] == [good.run_id]
    webserver.fails.clear()
    context = evaluate(instance, context.cursor)
    assert (len(webserver.retried), context.cursor) == (1, None)
    monkeypatch.setattr(lost_retries, "CLAIM_AGE", timedelta(0))
    context = evaluate(instance, context.cursor)
    assert webserver.retried[1][0] == unanswered.run_id
    assert context.cursor is not None


def test_a_launch_that_arrived_without_an_answer_is_not_repeated(
    instance: dg.DagsterInstance, webserver: RecordingWebserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = failed_run(instance)
    webserver.fails[run.run_id] = WebserverError("no answer within 30 s")
    webserver.meanwhile = lambda: failed_run(instance, parent=run, given_up=False)
    with pytest.raises(WebserverError):
        sensors.lost_retries(context := dg.build_sensor_context(instance=instance))
    monkeypatch.setattr(lost_retries, "CLAIM_AGE", timedelta(0))
    webserver.fails.clear()
    evaluate(instance, context.cursor)
    assert webserver.retried == []


def test_a_retry_does_not_inherit_what_was_noted_about_its_parent(
    instance: dg.DagsterInstance, webserver: RecordingWebserver
) -> None:
    parent = failed_run(instance)
    webserver.fails[parent.run_id] = LaunchRefusedError("No.")
    for _ in range(lost_retries.MAX_REFUSALS):
        evaluate(instance)
    noted = {tag: value for tag, value in tags_of(instance, parent).items() if tag.startswith("dagma/")}
    assert len(noted) == 2
    child = failed_run(instance, parent=parent, tags=noted)
    evaluate(instance)
    assert [run_id for run_id, _, _ in webserver.retried] == [child.run_id]


def test_an_evaluation_leaves_to_the_next_what_it_has_no_time_for(
    instance: dg.DagsterInstance, webserver: RecordingWebserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = failed_run(instance)
    monkeypatch.setattr(lost_retries, "LAUNCHING_SECONDS", -1.0)
    context = evaluate(instance)
    assert (webserver.retried, context.cursor) == ([], None)
    monkeypatch.setattr(lost_retries, "LAUNCHING_SECONDS", 20.0)
    evaluate(instance, context.cursor)
    assert [run_id for run_id, _, _ in webserver.retried] == [run.run_id]


def test_a_retry_is_asked_of_the_code_location_of_its_run(
    instance: dg.DagsterInstance, webserver: RecordingWebserver
) -> None:
    location = RegisteredCodeLocationOrigin("project")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "job")
    run = failed_run(instance, origin=origin)
    evaluate(instance)
    assert webserver.locations == ["project"]
    assert [retried[0] for retried in webserver.retried] == [run.run_id]
