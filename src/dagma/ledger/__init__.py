"""The ledger: every call's audit row, the quota meter, and the memory that pays for no answer twice."""

from dagma.ledger.call import Begun, Call, Usage, input_hash
from dagma.ledger.errors import (
    AnswerExpiredError,
    CallInFlightError,
    FlowNotIdentifiedError,
    LedgerError,
    LedgerNotMigratedError,
    LedgerSettingsError,
    LedgerUnavailableError,
    OutcomeGivenUpError,
    OutcomeUnknownError,
    QuotaExceededError,
)
from dagma.ledger.ledger import Ledger
from dagma.ledger.ledger_settings import LedgerSettings
from dagma.ledger.prices import Prices
from dagma.ledger.quotas import Limit, parse_quotas
from dagma.ledger.texts import TextPolicy

__all__ = [
    "AnswerExpiredError",
    "Begun",
    "Call",
    "CallInFlightError",
    "FlowNotIdentifiedError",
    "Ledger",
    "LedgerError",
    "LedgerNotMigratedError",
    "LedgerSettings",
    "LedgerSettingsError",
    "LedgerUnavailableError",
    "Limit",
    "OutcomeGivenUpError",
    "OutcomeUnknownError",
    "Prices",
    "QuotaExceededError",
    "TextPolicy",
    "Usage",
    "input_hash",
    "parse_quotas",
]
