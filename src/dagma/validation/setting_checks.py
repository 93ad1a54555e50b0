"""Every setting that has a form of its own, read once; what is wrong is told by its variable's name."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, get_args

from pydantic import PositiveInt, TypeAdapter, ValidationError

from dagma import environment
from dagma.backends.langflow.access_variables import FILE_VARIABLES, access_from_environment, base_url_from_environment
from dagma.batches.pace import in_flight_from_environment, per_second_from_environment
from dagma.batches.tables_database import TablesDatabase
from dagma.execution.load_errors import describe
from dagma.execution.outbound_routes import routes_from_environment
from dagma.execution.webserver_settings import further_hosts_from_environment, gateway_secret_from_environment
from dagma.langflow.http.connection_settings import checked_address
from dagma.ledger import Ledger, Prices
from dagma.ledger.ledger import DEFAULT_REPLAY_HOURS
from dagma.ledger.quotas import parse_quotas
from dagma.ledger.texts import TextPolicy
from dagma.retention.retention_settings import RetentionSettings

NUMBERS = {
    "DAGMA_FILE_MAX_MB": 25,
    "LANGFLOW_TIMEOUT_SECONDS": 300,
    "LANGFLOW_JOB_TIMEOUT_SECONDS": 3600,
    "DAGMA_WORKER_GRACE_SECONDS": 45,
}
"""Each with a value that works, for errors."""
FLAGS = (
    "DAGMA_SCHEDULES_RUNNING",
    "LANGFLOW_VERIFY_TLS",
    # From here on Langflow's own, which only the container that validates is given.
    "LANGFLOW_AGENTIC_EXPERIENCE",
    "LANGFLOW_ALLOW_CUSTOM_COMPONENTS",
    "LANGFLOW_BLOCK_CODE_INTERPRETER_COMPONENTS",
    "LANGFLOW_CUSTOM_COMPONENT_ADMIN_ONLY",
    "LANGFLOW_SECURE_COOKIES",
    "LLM_STREAM_USAGE",
)
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
READ_BY_LANGFLOW: dict[str, Any] = {
    "LANGFLOW_API_KEY_SOURCE": Literal["env", "db"],
    "LANGFLOW_TWEAKS_POLICY": Literal["declared", "permissive", "off"],
    "LANGFLOW_MAX_TEXT_LENGTH": PositiveInt,
}
"""Read by pydantic, as Langflow reads them: it stops at ENV, and at 1e6."""
ADDRESSES = ("LANGFLOW_PUBLIC_URL", "DAGSTER_PUBLIC_URL", "DAGSTER_WEBSERVER_URL", "LLM_BASE_URL")
VARIABLE = re.compile(r"\b(?:CELERY|DAGMA|DAGSTER|LANGFLOW|LLM)_[A-Z_]+\b")

# Opens nothing: settings of the ledger are read one by one, beside an address that is fine.
_NO_LEDGER = "sqlite:////nowhere/ledger.db"
TEXTS: dict[str, Callable[[str], Any]] = {
    "DAGMA_TABLES_URL": TablesDatabase,
    "DAGMA_LEDGER_URL": Ledger,
    "DAGMA_LEDGER_TEXTS": TextPolicy,
    "DAGMA_LEDGER_REDACT": lambda pattern: TextPolicy(patterns=[pattern]),
    "DAGMA_LEDGER_ON_UNKNOWN": lambda word: Ledger(_NO_LEDGER, on_unknown=word),
    "DAGMA_QUOTAS": parse_quotas,
    "DAGMA_PRICES": Prices,
}
"""What reads the text of a setting."""


def setting_problems() -> list[str]:
    """Read every setting of this process' environment.

    Returns:
        A text for each that can't be used, with its cause and what would do.
    """
    problems: list[str] = []
    for variable, read in _checks():
        try:
            read()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a reader raises, the setting can't be used
            problem = describe(error)
            problems.append(problem if VARIABLE.search(problem) else f"{variable}: {problem}")
    return list(dict.fromkeys(problems))


def refuse_bad_settings() -> None:
    """Raise what `setting_problems` finds: a code location that fails to load says it to people, at once.

    Raises:
        SettingError: A setting can't be used; the message has every one.
    """
    if problems := setting_problems():
        raise environment.SettingError("\n".join(problems))


def _checks() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the variable to name where an error names none, and what reads it."""
    for variable, example in NUMBERS.items():
        yield variable, partial(environment.positive_number, variable, default=example)
    for variable in FLAGS:
        yield variable, partial(environment.flag, variable, default=False)
    yield "LANGFLOW_LOG_LEVEL", partial(environment.choice, "LANGFLOW_LOG_LEVEL", LOG_LEVELS, "info")
    for variable, kind in READ_BY_LANGFLOW.items():
        yield variable, partial(_read_if_set, variable, partial(_read_as_langflow, variable, TypeAdapter(kind)))
    for variable, read in TEXTS.items():
        yield variable, partial(_read_if_set, variable, read)
    for variable in ADDRESSES:
        yield variable, partial(_read_if_set, variable, partial(checked_address, variable, form="http://host:port"))
    yield "DAGMA_LEDGER_REPLAY_HOURS", _replay_hours
    yield "DAGSTER_ALLOWED_HOSTS", further_hosts_from_environment
    yield "DAGMA_OUTBOUND", routes_from_environment
    yield "DAGMA_GATEWAY_SECRET", gateway_secret_from_environment
    yield "LANGFLOW_BASE_URL", base_url_from_environment
    # Of its errors, those that name no variable are about files.
    yield ", ".join(filter(environment.text, FILE_VARIABLES.values())), access_from_environment
    yield "DAGMA_MAX_IN_FLIGHT", in_flight_from_environment
    yield "DAGMA_MAX_PER_SECOND", per_second_from_environment
    yield "DAGMA_RETENTION_*", RetentionSettings.from_environment
    yield from _checks_of_definitions()


def _checks_of_definitions() -> Iterator[tuple[str, Callable[[], Any]]]:
    # Imported here: Dagster takes two seconds, and what these need imports this module.
    from dagma.backends.selection import backend_from_environment
    from dagma.calls.call_record import record_texts
    from dagma.calls.request import CallMode
    from dagma.defs.llm.schedules import daily_schedule_from_environment
    from dagma.run_config.launch_tweaks import allowed_from_environment

    yield "DAGMA_RECORD_TEXTS", record_texts
    yield "DAGMA_RUN_CONFIG_TWEAKS", allowed_from_environment
    yield "LANGFLOW_SCHEDULE_CRON", daily_schedule_from_environment
    if environment.text("DAGMA_BACKEND", "langflow").lower() == "langflow":
        # Of what configures it, this alone is not read above.
        yield "LANGFLOW_MODE", partial(environment.choice, "LANGFLOW_MODE", get_args(CallMode), "direct")
    else:
        yield "DAGMA_BACKEND", backend_from_environment


def _replay_hours() -> None:
    Ledger(_NO_LEDGER, replay_hours=environment.positive_number("DAGMA_LEDGER_REPLAY_HOURS", DEFAULT_REPLAY_HOURS))


def _read_as_langflow(variable: str, kind: TypeAdapter[Any], text: str) -> None:
    try:
        kind.validate_python(text)
    except ValidationError as error:
        raise environment.SettingError(f"{variable} is {text!r}. {error.errors()[0]['msg']}.") from None


def _read_if_set(variable: str, read: Callable[[str], Any]) -> None:
    if (text := environment.text(variable)) is None:
        return
    try:
        read(text)
    except ValueError as error:
        raise environment.SettingError(str(error)) from None
