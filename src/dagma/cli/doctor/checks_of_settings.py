"""Can every setting be read? Each is read by what uses it.

The schedule's cron is read by Dagster, whose import alone takes seconds: `check_schedules` asks the webserver, which
has read it.
"""

import zoneinfo
from collections.abc import Callable

from dagma import environment
from dagma.access import access_from_environment, base_url_from_environment
from dagma.cli.doctor.check import Problem
from dagma.ledger import LedgerError
from dagma.ledger.settings import LedgerSettings


def check_settings() -> str:
    """Read all settings, and tell every one that can't be used."""
    problems = list(dict.fromkeys(filter(None, map(_problem, _READERS))))
    if problems:
        raise Problem(" ".join(problems))
    quotas, prices = environment.text("DAGMA_QUOTAS", "none"), environment.text("DAGMA_PRICES", "none of our own")
    return f"all can be read; quotas: {quotas}; prices: {prices}"


def _problem(read: Callable[[], object]) -> str | None:
    try:
        read()
    except (ValueError, LedgerError) as error:
        return str(error)
    return None


def _timezone() -> None:
    name = environment.text("DAGMA_TIMEZONE", "UTC")
    if name not in zoneinfo.available_timezones():
        raise environment.SettingError(f"DAGMA_TIMEZONE is {name!r}. Set it to an IANA name, such as Europe/Berlin.")


_READERS: tuple[Callable[[], object], ...] = (
    base_url_from_environment,
    access_from_environment,
    lambda: environment.positive_number("LANGFLOW_TIMEOUT_SECONDS", default=300.0),
    lambda: environment.positive_number("LANGFLOW_JOB_TIMEOUT_SECONDS", default=3600.0),
    lambda: environment.positive_number("DAGMA_WORKER_GRACE_SECONDS", default=45.0),
    lambda: environment.choice("DAGMA_RECORD_TEXTS", ("full", "none"), default="full"),
    lambda: environment.flag("DAGMA_SCHEDULES_RUNNING", default=False),
    lambda: environment.choice("LANGFLOW_MODE", ("auto", "direct", "job"), default="direct"),
    # Quotas, prices, texts and the rest of DAGMA_LEDGER_*; nothing is opened.
    lambda: LedgerSettings.from_environment().open(),
    _timezone,
)
