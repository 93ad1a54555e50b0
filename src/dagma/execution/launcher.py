"""Dagster's Celery run launcher, with a cancel that cancels and a health check that finds dead workers."""

from celery.canvas import Signature
from dagster import DagsterRun, DagsterRunStatus
from dagster._config.config_schema import UserConfigSchema
from dagster._core.events import EngineEventData
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_celery import launcher as dagster_celery_launcher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from typing_extensions import override

from dagma import environment
from dagma.execution.celery_settings import CELERY_SETTINGS
from dagma.execution.worker_roll_call import BROKER_ERRORS, Presence, RollCall


class CeleryRunLauncher(dagster_celery_launcher.CeleryRunLauncher):
    """Starts runs as Celery tasks, cancels them for good, and tells a dead worker from a busy one."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        """Configure the launcher by the environment, as the workers are."""
        super().__init__(
            default_queue=CELERY_SETTINGS["task_default_queue"],
            broker=environment.text("CELERY_BROKER_URL"),
            backend=environment.text("CELERY_RESULT_BACKEND"),
            config_source=CELERY_SETTINGS,
            inst_data=inst_data,
        )
        self._roll_call = RollCall(self.celery)

    @override
    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @override
    def _launch_celery_task_run(self, run: DagsterRun, task_signature: Signature, routing_key: str) -> None:
        """Send the run's task to the one queue that the workers serve, under the run's own id.

        The id is known, and stored as a tag, before the task is sent: no crash in between leaves a run whose task
        can't be found. A queue that its tags name is ignored: the run would wait there for a worker that there is not.
        """
        queue = self.default_queue
        self._instance.add_run_tags(run.run_id, {DAGSTER_CELERY_TASK_ID_TAG: run.run_id})
        task_signature.apply_async(
            task_id=run.run_id,
            priority=dagster_celery_launcher._get_run_priority(run),  # the library's own reading of its tag
            queue=queue,
            routing_key=f"{queue}.{routing_key}",
        )
        self._instance.report_engine_event(
            f"Sent the run to the workers of queue {queue!r}.",
            run,
            EngineEventData({"Celery task": run.run_id, "Celery queue": queue}),
            cls=type(self),
        )

    @override
    def terminate(self, run_id: str) -> bool:
        """Cancel a run, wherever its task is: waiting in the broker, in a worker, or gone with its worker.

        Returns:
            False when there is no such run or it has ended, else True.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        # First of all: the interrupted run reads its status, to tell a user's cancel from a worker's shutdown.
        self._instance.report_run_canceling(run)
        try:
            is_gone = self._interrupt(run)
        except BROKER_ERRORS as error:
            self._report_unconfirmed_cancel(run, f"the broker can't be reached: {error}")
            return True
        if is_gone:
            self._instance.report_run_canceled(run, "No worker has the run: nothing is left to interrupt.")
        return True

    def _interrupt(self, run: DagsterRun) -> bool:
        """Interrupt the run's task; True when no worker has it, so that none will report the end."""
        task_id = task_id_of(run)
        if run.status is not DagsterRunStatus.STARTED:
            # Revoked first and looked at afterwards: no worker starts it in between.
            self._roll_call.interrupt(task_id)
            return self._roll_call.state_of(task_id).name == "PENDING"
        task = self._roll_call.state_of(task_id)
        # Asked before the interrupt, since a worker forgets an interrupted task while the run still cleans up.
        presence = Presence.ABSENT if task.is_finished else self._roll_call.find(task_id, task.hostname)
        self._roll_call.interrupt(task_id)
        if presence not in (Presence.PRESENT, Presence.ABSENT):
            self._report_unconfirmed_cancel(run, presence.value)
        return presence is Presence.ABSENT

    def _report_unconfirmed_cancel(self, run: DagsterRun, cause: str) -> None:
        self._instance.report_engine_event(
            f"No worker has confirmed the cancel: {cause}. Run monitoring marks the run as canceled after "
            f"{self._instance.run_monitoring_cancel_timeout_seconds} s, unless it ends before.",
            run,
            cls=type(self),
        )

    @override
    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Say whether the worker of a started run still executes it.

        Dagster fails a run on every answer but RUNNING and SUCCESS, UNKNOWN included. So what can't be known yet (the
        broker is away, an answer is late) is RUNNING, with the reason; and a task that ended while its run did not is
        FAILED, also where the task itself succeeded. (Dagster reads the run's status again before it acts.)
        """
        task_id = task_id_of(run)
        try:
            task = self._roll_call.state_of(task_id)
        except BROKER_ERRORS as error:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"Can't ask: the result backend is away ({error}).")
        if task.is_finished:
            return CheckRunHealthResult(
                WorkerStatus.FAILED, f"The Celery task ended ({task.name}), and the run did not report its end."
            )
        presence = self._roll_call.find(task_id, task.hostname)
        alive = presence not in (Presence.ABSENT, Presence.LOST)
        return CheckRunHealthResult(
            WorkerStatus.RUNNING if alive else WorkerStatus.FAILED,
            f"Worker {task.hostname or 'unknown'}: {presence.value}.",
            run_worker_id=task.hostname,
        )


def task_id_of(run: DagsterRun) -> str:
    """Return the id of the run's task; a run launched before the tag was written has its own id there too."""
    return run.tags.get(DAGSTER_CELERY_TASK_ID_TAG, run.run_id)
