"""The Celery app of the workers that execute Dagster's runs.

Start one with `celery -A dagma.worker worker -Q dagster -c 2`. The broker and the result backend are
`CELERY_BROKER_URL` and `CELERY_RESULT_BACKEND`.
"""

import os

from celery import Celery
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

import dagma.definitions  # noqa: F401  # imported before the worker forks, so that every run starts warm
from dagma.celery_settings import CELERY_SETTINGS

app: Celery = make_app(
    {
        "broker": os.environ.get("CELERY_BROKER_URL"),
        "backend": os.environ.get("CELERY_RESULT_BACKEND"),
        "config_source": CELERY_SETTINGS,
    }
)
execute_job = create_execute_job_task(app)
resume_job = create_resume_job_task(app)
