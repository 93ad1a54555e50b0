"""Direct runs of a fake Langflow."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dagma.testing import shapes
from dagma.testing.behaviour import (
    Behaviour,
    ComponentFailed,
    FakeAnswer,
    FakeCall,
    HumanNeeded,
    VariableMissing,
)
from dagma.testing.exchange import FakeResponse, RecordedRequest
from dagma.testing.fake_history import FakeHistory, KeptRun
from dagma.testing.fake_store import FakeStore

_V1_FIELDS: Mapping[str, type] = {
    "input_value": str,
    "input_type": str,
    "output_type": str,
    "tweaks": dict,
    "session_id": str,
}


class FakeRuns:
    """Runs flows while the caller waits.

    Args:
        store: The flows.
    """

    def __init__(self, store: FakeStore) -> None:
        self._store = store
        self.history = FakeHistory()

    def v1(self, name: str, request: RecordedRequest) -> FakeResponse:
        """Answer a request to /api/v1/run."""
        flow = self._store.find_flow(name)
        if flow is None:
            return FakeResponse(404, {"detail": f"Flow identifier {name} not found"})
        if request.body and request.json() is None:
            return FakeResponse(422, shapes.unprocessable(["body"], "JSON decode error"))
        body = _v1_body(request.json())
        # Langflow runs what it can't read on an empty input, and says so nowhere but here.
        inputs = {"input_value": body["input_value"]} if body.get("input_value") else {}
        call = _call(flow, body)
        streamed = request.query.get("stream") == "true"
        run = self.history.begin(flow, call)
        try:
            answer, by_model = _run(self._store.behaviour(flow["id"]), call)
        except ComponentFailed as failure:
            self.history.fail(run, _error(failure))
            if streamed:
                return FakeResponse(200, stream=_stream(_event("error", _error(failure))))
            return FakeResponse(500, shapes.v1_failure(failure.component, failure.message))
        except HumanNeeded:
            self.history.fail(run)
            return FakeResponse(
                400, {"detail": "This flow uses Human-in-the-Loop, which the v1 run API cannot execute."}
            )
        output, said = self._complete(run, answer, by_model=by_model)
        result = shapes.v1_result(inputs, output, said)
        if streamed:
            return FakeResponse(200, stream=_stream(*_v1_events(call, answer, said, result)))
        return FakeResponse(200, result)

    def _complete(self, run: KeptRun, answer: FakeAnswer, *, by_model: bool) -> tuple[str, dict[str, Any]]:
        """Keep what a run answered, and return the component that said it and its message."""
        output = (shapes.component_ids(run.flow) or ["ChatOutput"])[-1]
        source = shapes.feeder(run.flow, output)
        said = shapes.message(answer.text, run.call.session_id, source, answer if by_model else None)
        said |= {"run_id": run.id}
        self.history.complete(run, said, output, answer if by_model else FakeAnswer(answer.text, model=""))
        return output, said


def _run(behaviour: Behaviour, call: FakeCall) -> tuple[FakeAnswer, bool]:
    """Return the answer, and whether a model gave it."""
    try:
        answer = behaviour(call)
    except VariableMissing as missing:
        answer = missing.text
    except (ComponentFailed, HumanNeeded):
        raise
    except Exception as error:
        raise ComponentFailed(type(error).__name__, str(error)) from error
    return (answer, True) if isinstance(answer, FakeAnswer) else (FakeAnswer(answer), False)


def _v1_body(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        return {}
    for name, kind in _V1_FIELDS.items():
        if not isinstance(body.get(name), kind | None):
            return {}
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair is JSON, but no text.
        return {}
    return body


def _call(flow: Mapping[str, Any], body: Mapping[str, Any]) -> FakeCall:
    return FakeCall(
        input_value=body.get("input_value") or "",
        tweaks=body.get("tweaks") or {},
        session_id=body.get("session_id") or flow["id"],
    )


def _v1_events(
    call: FakeCall, answer: FakeAnswer, said: Mapping[str, Any], result: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    yield _event("add_message", shapes.user_message(call.input_value, call.session_id))
    for word in answer.words():
        yield _event("token", {"chunk": word, "id": "message"})
    yield _event("add_message", said)
    yield _event("end", {"result": result})


def _event(name: str, data: Any) -> dict[str, Any]:
    return {"event": name, "data": data}


def _error(failure: ComponentFailed) -> dict[str, Any]:
    return shapes.error_message(failure.message, failure.component)


def _stream(*events: dict[str, Any]) -> Iterator[str]:
    # Bare JSON and blank lines, though the content type promises "data: ".
    for event in events:
        yield json.dumps(event) + "\n\n"
