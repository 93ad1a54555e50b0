"""What the launcher and the workers must agree on about Celery, beside CELERY_BROKER_URL and CELERY_RESULT_BACKEND."""

import tempfile
from pathlib import Path
from typing import Any

READY_FILE = Path(tempfile.gettempdir()) / "dagma-worker-ready"
"""Written by a worker that has started. In a container it is gone when the worker starts again."""

CELERY_SETTINGS: dict[str, Any] = {
    "task_default_queue": "dagster",
    # A worker takes a run only when it has a free process: none waits behind a long one while another worker idles.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # A run's task is acknowledged when it starts and never delivered again: retrying is Dagster's decision, which
    # knows whether the run may run twice. (Late acknowledgement redelivers after visibility_timeout, 1 h on Redis.)
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    # Seconds. Only for tasks taken but not started when their worker died; Dagster has failed the run long before.
    "broker_transport_options": {
        "visibility_timeout": 43200,
        "max_retries": 3,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.5,
        "socket_keepalive": True,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
    },
    "broker_connection_retry_on_startup": True,
    # None: keep trying for ever. The broker may be away for longer than any number of retries.
    "broker_connection_max_retries": None,
    # A run goes on while the broker restarts.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # Seconds. A run's state must stay readable for as long as the run can last: a week.
    "result_expires": 604800,
    "result_backend_transport_options": {"retry_policy": {"timeout": 5.0}},
    "redis_socket_timeout": 5,
    "redis_socket_connect_timeout": 5,
    "redis_retry_on_timeout": True,
}
