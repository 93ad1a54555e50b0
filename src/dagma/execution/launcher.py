"""Dagster's Celery run launcher, with a cancel that cancels and a health check that finds dead workers."""

import time

from celery.canvas import Signature
from celery.states import PENDING, READY_STATES
from dagster import DagsterRun, DagsterRunStatus
from dagster._config.config_schema import UserConfigSchema
from dagster._core.events import EngineEventData
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_celery import launcher as dagster_celery_launcher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from typing_extensions import override

from dagma import environment
from dagma.execution import signs_of_life
from dagma.execution.celery_settings import CELERY_SETTINGS
from dagma.execution.signs_of_life import BROKER_ERRORS, LIFE_SECONDS


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
        self._away_at = float("-inf")
        """When the result backend could last not be reached, in monotonic seconds."""

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

        Where no worker confirms the cancel, run monitoring marks the run as canceled after a while.

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
            self._instance.report_engine_event(f"No worker is told of the cancel: {error}", run, cls=type(self))
            return True
        if is_gone:
            self._instance.report_run_canceled(run, "No worker has the run: nothing is left to interrupt.")
        return True

    def _interrupt(self, run: DagsterRun) -> bool:
        """Interrupt the run's task; True when no worker has it, so that none will report the end."""
        task_id = task_id_of(run)
        # Looked at before the interrupt, which ends the task while the run still cleans up.
        is_alive = self._state(task_id) not in READY_STATES and signs_of_life.is_given(self.celery, task_id)
        self.celery.control.revoke(task_id, terminate=True, signal="SIGTERM")
        if run.status is DagsterRunStatus.STARTED:
            return not is_alive
        # Looked at once it is revoked: no worker starts it in between.
        return self._state(task_id) == PENDING

    @override
    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Say whether the worker of a started run still executes it.

        Dagster fails a run on every answer but RUNNING and SUCCESS, UNKNOWN included. So what can't be known (the
        result backend is away, or was, and workers need time to find it again) is RUNNING; and a task that ended while
        its run did not is FAILED, also where the task succeeded. (Dagster reads the run's status again before it acts.)
        """
        task_id = task_id_of(run)
        try:
            state = self._state(task_id)
            is_alive = signs_of_life.is_given(self.celery, task_id)
        except BROKER_ERRORS as error:
            self._away_at = time.monotonic()
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"Can't ask: the result backend is away ({error}).")
        if state in READY_STATES:
            return CheckRunHealthResult(
                WorkerStatus.FAILED, f"The Celery task ended ({state}), and the run did not report its end."
            )
        if is_alive or time.monotonic() < self._away_at + LIFE_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "Its worker was restarted, or gives no sign of life.")

    def _state(self, task_id: str) -> str:
        """Read Celery's word for a task's state; PENDING also for a task that it knows nothing of.

        Raises:
            BROKER_ERRORS: The result backend can't be reached.
        """
        state: str = self.celery.backend.get_task_meta(task_id, cache=False)["status"]
        return state


def task_id_of(run: DagsterRun) -> str:
    """Return the id of the run's task; a run launched before the tag was written has its own id there too."""
    return run.tags.get(DAGSTER_CELERY_TASK_ID_TAG, run.run_id)
