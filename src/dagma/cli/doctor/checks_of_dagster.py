"""Does Dagster take runs, and is there a worker that executes them?"""

from datetime import UTC, datetime

from dagma import environment
from dagma.cli.celery_workers import ANSWER_SECONDS, CONNECT_SECONDS, broker_address, find_workers, unreachable
from dagma.cli.doctor.check import Problem, Skipped
from dagma.execution.celery_settings import CELERY_SETTINGS
from dagma.execution.webserver import Webserver
from dagma.wording import counted


def check_dagster() -> str:
    """Ask the webserver whether the code location is loaded."""
    webserver = Webserver.from_environment()
    webserver.check_location()
    return f"{webserver.url} has code location {webserver.location!r} loaded"


def check_daemons() -> str:
    """Ask the webserver for the daemons' heartbeats."""
    silent = sorted(Webserver.from_environment().queue().unhealthy_daemons)
    if silent:
        raise Problem(
            f"No heartbeat of {', '.join(silent)}: runs stay in the queue, and nothing is scheduled. Look at it: "
            "`make ps`, `make logs s=dagster-daemon`."
        )
    return "all have a heartbeat: runs leave the queue, schedules tick"


def check_schedules() -> str:
    """Ask the webserver for the schedules of the code location, and when each runs next."""
    schedules = Webserver.from_environment().schedules()
    if not schedules:
        return "there is none"
    told = []
    for schedule in schedules:
        ticks = schedule["futureTicks"]["results"]
        at = f", next at {datetime.fromtimestamp(ticks[0]['timestamp'], UTC):%Y-%m-%d %H:%M} UTC" if ticks else ""
        state = f"is on{at}" if schedule["scheduleState"]["status"] == "RUNNING" else "is off"
        timezone = schedule["executionTimezone"] or "UTC"
        told.append(f"{schedule['name']} ({schedule['cronSchedule']}, {timezone}) {state}")
    return "; ".join(told)


def check_broker() -> str:
    """Write to the broker: it refuses that when it is full."""
    url = _broker_url()
    where = broker_address(url)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return f"{where} is no Redis: whether it works shows when the workers are asked"
    from redis import Redis
    from redis.exceptions import RedisError, ResponseError

    try:
        with Redis.from_url(url, socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS) as broker:
            broker.set("dagma-doctor", "1", px=1000)
    except ResponseError as error:
        raise Problem(f"The broker at {where} takes nothing ({error}). Look at it: `make logs s=redis`.") from None
    except (RedisError, OSError, ValueError) as error:
        raise unreachable(url, error) from None
    return f"{where} takes what is sent to it"


def check_workers() -> str:
    """Ask all workers over the broker which queues they serve."""
    queue = CELERY_SETTINGS["task_default_queue"]
    workers = find_workers(_broker_url())
    if not workers:
        raise Problem(
            f"No worker answered within {ANSWER_SECONDS:g} s: runs wait. Look at them: `make ps`, `make logs s=worker`."
        )
    serving = [worker for worker in workers if queue in worker.queues]
    if not serving:
        raise Problem(
            f"{counted(len(workers), 'workers')} answered, and none takes runs of the queue {queue!r}: they wait. "
            f"Start one with `--queues {queue}`, as docker-compose.yml does."
        )
    busy, slots = sum(worker.busy for worker in serving), sum(worker.slots for worker in serving)
    return f"{len(serving)} answered and take runs of the queue {queue!r}; {busy} of {slots} slots are busy"


def _broker_url() -> str:
    url = environment.text("CELERY_BROKER_URL")
    if url is None:
        raise Skipped("CELERY_BROKER_URL is not set, so runs start as processes of the code server.")
    return url
