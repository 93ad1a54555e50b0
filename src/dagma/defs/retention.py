"""When old records are pruned: a job with a step for each store, and its daily schedule.

A store that is away fails its step and so the run; the steps of the others run all the same.
"""

from collections.abc import Callable, Mapping

import dagster as dg

from dagma import environment
from dagma.backends.langflow.access_variables import langflow_client
from dagma.langflow import LangflowError
from dagma.ledger import LedgerError
from dagma.ledger.ledger_settings import ledger_from_environment
from dagma.retention.calls import prune_ledger
from dagma.retention.langflow_history import LangflowPruner
from dagma.retention.retention_settings import RetentionSettings
from dagma.retention.runs import prune_runs

# Of such runs one executes at a time: see `run_queue` in dagster.yaml. Others go first.
TAGS = {"dagma/prune": "true", "dagster/priority": "-10"}
EVERY_DAY = "30 3 * * *"


def _step(
    store: str, prune: Callable[[dg.OpExecutionContext, RetentionSettings], Mapping[str, int]]
) -> dg.OpDefinition:
    @dg.op(name=f"prune_{store}", out=dg.Out(dg.Nothing), description=f"Deletes old {store} records.")
    def step(context: dg.OpExecutionContext) -> None:
        settings = RetentionSettings.from_environment()
        try:
            deleted = prune(context, settings)
        except (LangflowError, LedgerError) as error:
            # Not again tonight: tomorrow night deletes what this one has left.
            cause = f"{store} was not pruned: {type(error).__name__}: {error}"
            raise dg.Failure(cause, allow_retries=False) from error
        context.add_output_metadata({**deleted, "days": getattr(settings, store)})

    return step


def _prune_langflow(_context: dg.OpExecutionContext, settings: RetentionSettings) -> Mapping[str, int]:
    with langflow_client() as client:
        return LangflowPruner(client, days=settings.langflow, chats_days=settings.chats).prune()


STEPS = (
    _step("runs", lambda context, settings: {"runs": prune_runs(context.instance, days=settings.runs)}),
    _step("langflow", _prune_langflow),
    _step("ledger", lambda _, settings: prune_ledger(ledger_from_environment(), days=settings.ledger)),
)


@dg.job(
    name="prune",
    tags=TAGS,
    description="Deletes what is older than DAGMA_RETENTION_* says, in every store.",
)
def prune_job() -> None:
    """Prune every store."""
    for step in STEPS:
        step()


def prune_schedule_from_environment() -> dg.ScheduleDefinition:
    """Configure the schedule from `DAGMA_TIMEZONE` and `DAGMA_SCHEDULES_RUNNING`.

    Raises:
        SettingError: One of `DAGMA_RETENTION_*` can't be used: told now, rather than at night.
    """
    RetentionSettings.from_environment()
    running = environment.flag("DAGMA_SCHEDULES_RUNNING", default=False)
    return dg.ScheduleDefinition(
        name="prune_daily",
        job=prune_job,
        cron_schedule=EVERY_DAY,
        execution_timezone=environment.text("DAGMA_TIMEZONE", default="UTC"),
        description="Prunes every store at half past three.",
        default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
    )
