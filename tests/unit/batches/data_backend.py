"""A backend whose answers are data."""

from collections.abc import Mapping
from typing import Any

from dagma import Backend, CallRequest
from dagma.calls.answer import Answer


class Labelling(Backend):
    """Answers with an object, and no text."""

    def answer(self, request: CallRequest) -> dict[str, Any]:  # noqa: ARG002
        return {"label": "positive", "reason": "data"}

    def read(self, response: Mapping[str, Any]) -> Answer:
        return Answer(text=None, outputs={"Data-1": response})
