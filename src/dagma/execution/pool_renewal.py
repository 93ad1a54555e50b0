"""A worker's processes after an edit of the project: others take their place, which have not imported it."""

from typing import Any

from celery import bootsteps
from celery.worker import state

from dagma.project import definitions_revision

INTERVAL_SECONDS = 0.1
"""How long an old process may be idle, and so get one more run, before it is ended. A look takes about 0.2 ms."""


class PoolRenewal(bootsteps.StartStopStep):
    """Replaces the processes of a worker's pool when another copy of the project is current, or has other definitions.

    A process imports the project with the first of its runs, and keeps it. So new processes are forked at once, and old
    ones end as soon as they are idle: a run goes on with the project that it began with, however long it takes.
    """

    requires: tuple[str, ...] = ("celery.worker.consumer.tasks:Tasks",)  # type: ignore[assignment]

    def __init__(self, consumer: Any, **options: Any) -> None:
        """Remember which definitions are current."""
        super().__init__(consumer, **options)  # type: ignore[no-untyped-call]
        self._revision = definitions_revision()
        self._old: set[int] = set()
        self._ending: set[int] = set()

    def start(self, consumer: Any) -> None:
        """Look in the thread that gives runs to processes; begin anew after each connection to the broker."""
        consumer.timer.call_repeatedly(INTERVAL_SECONDS, self.renew, (consumer.pool,))

    def renew(self, pool: Any) -> None:
        """Fork new processes if the project has changed, and end those of the old ones that are idle."""
        processes = set(pool.info["processes"])
        self._ending &= processes
        if (revision := definitions_revision()) != self._revision:
            self._revision, self._old = revision, processes - self._ending
            pool.grow(pool.limit)
            pool.maintain_pool()
        self._old &= processes
        is_on_its_way = len(state.reserved_requests) > len(state.active_requests)  # a run, to one of them
        # The pool ends the oldest that are idle, and would count one that has not ended yet a second time.
        if is_on_its_way or self._ending:
            return
        if idle := self._old - {request.worker_pid for request in state.active_requests}:
            pool.shrink(len(idle))
            self._old, self._ending = self._old - idle, idle
