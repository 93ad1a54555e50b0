"""When old records are pruned: a job with a step for each store, and its daily schedule.

A store that is away fails its step and so the run; the steps of the others run all the same.
"""

import time
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


@dg.op(
    name="prune_runs", out=dg.Out(dg.Nothing), description="Deletes Dagster's old runs, with events, logs and values."
)
def prune_runs_op(context: dg.OpExecutionContext) -> None:
    """Prune Dagster's own records."""
    days = RetentionSettings.from_environment().runs
    _report(context, "Dagster", days, lambda: {"runs": prune_runs(context.instance, days=days)})


@dg.op(name="prune_langflow", out=dg.Out(dg.Nothing), description="Deletes old messages, traces and files in Langflow.")
def prune_langflow_op(context: dg.OpExecutionContext) -> None:
    """Prune what calls leave in Langflow."""
    settings = RetentionSettings.from_environment()
    with langflow_client() as client:
        pruner = LangflowPruner(client, days=settings.langflow, chats_days=settings.chats)
        _report(context, f"Langflow at {client.base_url}", settings.langflow, pruner.prune)


@dg.op(name="prune_ledger", out=dg.Out(dg.Nothing), description="Deletes old calls in the ledger.")
def prune_ledger_op(context: dg.OpExecutionContext) -> None:
    """Prune the ledger."""
    days = RetentionSettings.from_environment().ledger
    _report(context, "The ledger", days, lambda: prune_ledger(ledger_from_environment(), days=days))


@dg.job(
    name="prune",
    tags=TAGS,
    description="Deletes what is older than DAGMA_RETENTION_* says, in every store.",
)
def prune_job() -> None:
    """Prune every store."""
    prune_runs_op()
    prune_langflow_op()
    prune_ledger_op()


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


def _report(context: dg.OpExecutionContext, store: str, days: int, prune: Callable[[], Mapping[str, int]]) -> None:
    began = time.monotonic()
    try:
        pruned = prune()
    except (LangflowError, LedgerError) as error:
        # Not again tonight: tomorrow night deletes what this one has left.
        raise dg.Failure(f"{store} was not pruned: {type(error).__name__}: {error}", allow_retries=False) from error
    seconds = round(time.monotonic() - began, 1)
    context.add_output_metadata({**pruned, "seconds": seconds, "days": days})
