"""The ledger's settings, as environment variables, and the ledger of this process."""

import functools
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dagma.environment import SettingError, text
from dagma.ledger.errors import LedgerSettingsError
from dagma.ledger.ledger import DEFAULT_REPLAY_HOURS, Ledger
from dagma.ledger.texts import TextPolicy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LedgerSettings:
    """What `DAGMA_LEDGER_*`, `DAGMA_QUOTAS` and `DAGMA_PRICES` say; each may stand in the file that `NAME_FILE` names.

    Attributes:
        url: `DAGMA_LEDGER_URL`; by default an SQLite file in `DAGSTER_HOME`.
        texts: `DAGMA_LEDGER_TEXTS`: `full`, `redacted` (default) or `none`.
        redact: `DAGMA_LEDGER_REDACT`: one more regular expression to redact.
        on_unknown: `DAGMA_LEDGER_ON_UNKNOWN`: `fail` (default) or `resend`.
        replay_hours: `DAGMA_LEDGER_REPLAY_HOURS`, default 72.
        quotas: `DAGMA_QUOTAS`, such as `calls=1000/day; cost=5/month`.
        prices: `DAGMA_PRICES`, such as `gpt-4o=2.5/10`, in USD per million tokens.
    """

    url: str
    texts: str = "redacted"
    redact: str = ""
    on_unknown: str = "fail"
    replay_hours: float = DEFAULT_REPLAY_HOURS
    quotas: str = ""
    prices: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "LedgerSettings":
        """Read the settings; an empty variable counts as absent.

        Raises:
            LedgerSettingsError: There is no database to use, a file can't be read, or a number is none.
        """

        def read(name: str, default: str = "") -> str:
            return setting_from(name, environment) or default

        hours = read("DAGMA_LEDGER_REPLAY_HOURS", str(DEFAULT_REPLAY_HOURS))
        try:
            replay_hours = float(hours)
        except ValueError:
            raise LedgerSettingsError(f"DAGMA_LEDGER_REPLAY_HOURS is {hours!r}. Set it to hours, such as 72.") from None
        return cls(
            url=read("DAGMA_LEDGER_URL") or _default_url(environment),
            texts=read("DAGMA_LEDGER_TEXTS", "redacted"),
            redact=read("DAGMA_LEDGER_REDACT"),
            on_unknown=read("DAGMA_LEDGER_ON_UNKNOWN", "fail"),
            replay_hours=replay_hours,
            quotas=read("DAGMA_QUOTAS"),
            prices=read("DAGMA_PRICES"),
        )

    def open(self) -> Ledger:
        """Make a ledger of these settings; nothing is opened before its first use.

        Raises:
            LedgerSettingsError: A setting can't be read.
        """
        return Ledger(
            self.url,
            texts=TextPolicy(self.texts, [self.redact] if self.redact else []),
            on_unknown=self.on_unknown,
            quotas=self.quotas,
            prices=self.prices,
            replay_hours=self.replay_hours,
        )


def ledger_from_environment() -> Ledger:
    """Give the ledger that the environment describes, the same one for as long as it describes the same.

    Raises:
        LedgerSettingsError: A setting can't be read.
    """
    environment: Mapping[str, str] = os.environ
    if not setting_from("DAGMA_LEDGER_URL") and not environment.get("DAGSTER_HOME"):
        environment = {**environment, "DAGSTER_HOME": _temporary_home().name}
    return _open(LedgerSettings.from_environment(environment))


@functools.lru_cache(maxsize=8)
def _open(settings: LedgerSettings) -> Ledger:
    # Kept for the life of the process: connections and prepared statements are what a call would wait for.
    return settings.open()


@functools.cache
def _temporary_home() -> "tempfile.TemporaryDirectory[str]":
    logger.warning(
        "Calls are recorded in a temporary file, which ends with this process: set DAGMA_LEDGER_URL or DAGSTER_HOME."
    )
    return tempfile.TemporaryDirectory(prefix="dagma-ledger-")


def setting_from(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Read a setting from a variable, or from the file that `NAME_FILE` names; None where it is not set.

    Raises:
        LedgerSettingsError: The file can't be read.
    """
    try:
        return text(name, variables=environment)
    except SettingError as error:
        raise LedgerSettingsError(str(error)) from None


def _default_url(environment: Mapping[str, str]) -> str:
    home = environment.get("DAGSTER_HOME")
    if not home:
        raise LedgerSettingsError(
            "The ledger has no database. Set DAGMA_LEDGER_URL to postgresql://user:password@host/database or to "
            "sqlite:////path.db, or set DAGSTER_HOME to keep an SQLite file there."
        )
    return f"sqlite:///{Path(home).absolute() / 'ledger.db'}"
