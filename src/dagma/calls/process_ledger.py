"""The ledger of this process."""

import functools
import logging
import os
import tempfile
from collections.abc import Mapping

from dagma.ledger import Ledger, LedgerSettings
from dagma.ledger.ledger_settings import url_from

logger = logging.getLogger(__name__)


def ledger_from_environment() -> Ledger:
    """Give the ledger that the environment describes, the same one for as long as it describes the same.

    Raises:
        LedgerSettingsError: A setting can't be read.
    """
    environment: Mapping[str, str] = os.environ
    if not url_from("DAGMA_LEDGER_URL") and not environment.get("DAGSTER_HOME"):
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
