"""A LangChain runnable as the backend of calls. Needs the extra `dagma[langchain]` where runs execute."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import Field
from typing_extensions import override

from dagma.backends.function import CallableBackend
from dagma.calls.call_backend import BackendError, raised
from dagma.calls.request import CallRequest
from dagma.langflow import BadRequest, Forbidden, LangflowError, RateLimited, Unauthorized
from dagma.langflow.error_responses import retry_after
from dagma.langflow.errors import Outcome
from dagma.ledger import Usage

# Raised by code of the chain: by its prompts, its parsers (ValueError), its functions, and where a package is missing.
_LOCAL_ERRORS = (ArithmeticError, AttributeError, ImportError, LookupError, NameError, TypeError, ValueError)
_SPENT = "_dagma_spent"


class LangChainBackend(CallableBackend):
    """Answers calls with a model, a chain or an agent: whatever has LangChain's `invoke` and gives a text or messages.

    A session is passed as `configurable.session_id`, tweaks as further `configurable` fields. Tokens of every model
    that takes part are metered, by LangChain's own count.
    """

    input_key: str | None = Field(
        default=None, description="The variable that gets the input, for a runnable that takes a dict. Default: none."
    )

    @override
    def answer(self, request: CallRequest) -> dict[str, Any]:
        runnable = self.loaded
        # Imported here: the image of the stack has no LangChain, and Dagster loads definitions without running them.
        from langchain_core.callbacks import UsageMetadataCallbackHandler
        from langchain_core.output_parsers import StrOutputParser

        meter = UsageMetadataCallbackHandler()
        config = {
            "configurable": {**(request.tweaks or {}), "session_id": request.session_id},
            "callbacks": [meter],
            "metadata": {"dagma_flow": request.flow_id},
        }
        asked: Any = {self.input_key: request.input_value} if self.input_key else request.input_value
        try:
            # Of a stream, models tell no tokens unless they are asked to, and agents no answer.
            given = runnable.invoke(asked, config)
            # An agent gives its state, whose last message is the answer.
            is_state = isinstance(given, Mapping) and given.get("messages")
            text = StrOutputParser().invoke(given["messages"][-1] if is_state else given)
        except Exception as error:
            # Kept on the error itself: threads share the backend.
            vars(error)[_SPENT] = spent = _usages(meter)
            if isinstance(error, LangflowError) and spent:
                error.outcome = _after_spending(error.outcome)
            raise
        return {"text": text, "session_id": request.session_id, "usage": [asdict(each) for each in _usages(meter)]}

    @override
    def explain(self, error: Exception) -> LangflowError:
        """Tell errors of model providers by the HTTP status that most of their clients' errors carry."""
        explained = self._by_status(error)
        if self.spent(error):
            explained.outcome = _after_spending(explained.outcome)
        return explained

    @override
    def spent(self, error: Exception) -> tuple[Usage, ...]:
        return tuple(getattr(error, _SPENT, ()))

    def _by_status(self, error: Exception) -> LangflowError:
        cause = f"{self.target} raised {raised(error)}."
        response = getattr(error, "response", None)
        status = getattr(error, "status_code", getattr(response, "status_code", None))
        if status == 429:
            headers = getattr(response, "headers", None)
            return RateLimited(cause, status=429, retry_after=retry_after(headers or {}))
        if status in (401, 403):  # of all rows of a batch, and not of one
            kind = Unauthorized if status == 401 else Forbidden
            return kind(cause, fix="Check the provider's key and its rights.", status=status)
        if isinstance(status, int) and 400 <= status < 500 and status != 408:
            return BadRequest(cause, status=status)
        # What a provider's client raises may come after the model was paid, whatever it is called.
        is_local = isinstance(error, _LOCAL_ERRORS) and not isinstance(status, int)
        return BackendError(cause, outcome="failed" if is_local else "unknown")

    @property
    @override
    def backend_name(self) -> str:
        return "langchain"

    @property
    @override
    def identity(self) -> str:
        return f"{super().identity} {self.input_key or ''}"


def _after_spending(outcome: Outcome) -> Outcome:
    """Say how a call ended that was refused in the middle of a chain, whose models before that are paid."""
    return "failed" if outcome == "not_run" else outcome


def _usages(meter: Any) -> tuple[Usage, ...]:
    kinds = ("input_tokens", "output_tokens", "total_tokens")
    return tuple(
        Usage(model=model, **{kind: counts.get(kind) for kind in kinds})
        for model, counts in meter.usage_metadata.items()
    )
