"""A plain Python callable as the backend of calls."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PrivateAttr
from typing_extensions import override

from dagma.backends.backend import Backend
from dagma.backends.target import load_target
from dagma.calls.call_backend import BackendError, raised
from dagma.calls.request import CallRequest
from dagma.langflow import LangflowError, MalformedResponse


class CallableBackend(Backend):
    """Answers calls with a function of one's own: `def answer(request: CallRequest) -> str`.

    The function gives the text, or `{"text": ..., "session_id": ..., "usage": {"model": ..., "input_tokens": ...}}`,
    so that tokens and cost are metered. What it raises fails the call; a retry of the run sends it again. Where a
    call may have been paid for all the same, raise a `LangflowError` with `outcome="unknown"`.
    """

    target: str = Field(description="Where it is: package.module:attribute. Imported at the first call.")
    _loaded: Any = PrivateAttr(default=None)

    @property
    def loaded(self) -> Any:
        """What the target names."""
        if self._loaded is None:
            self._loaded = load_target(self.target)
        return self._loaded

    @override
    def answer(self, request: CallRequest) -> dict[str, Any]:
        answered = self.loaded(request)
        if isinstance(answered, str):
            return {"text": answered}
        if isinstance(answered, Mapping):
            return dict(answered)
        raise MalformedResponse(
            f"{self.target} returned a {type(answered).__name__}.",
            fix="Return the text, or {'text': ...}, from a function that is not async.",
            outcome="failed",
        )

    @override
    def explain(self, error: Exception) -> LangflowError:
        return BackendError(f"{self.target} raised {raised(error)}.", fix="Look at its code.", outcome="failed")

    @property
    @override
    def backend_name(self) -> str:
        return "callable"

    @property
    @override
    def identity(self) -> str:
        return f"{self.backend_name} {self.target}"

    @override
    def default_flow(self) -> str:
        return self.target.partition(":")[2]
