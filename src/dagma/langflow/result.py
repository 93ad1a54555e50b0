"""The answer of a call, typed, whichever way it was made, and what Langflow's trace of a run adds to it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dagma.langflow.error_responses import flow_failed
from dagma.langflow.errors import CompletedWithoutOutput, MalformedResponse
from dagma.langflow.redaction import NOTHING_SECRET, Redactor
from dagma.langflow.untrusted_json import finite_number, objects, text_or_none, walk


@dataclass(frozen=True)
class TokenUsage:
    """Tokens that the model reported. None stands for "not reported", which is not 0.

    Args:
        input: Tokens read.
        output: Tokens written.
        total: Both together.
    """

    input: int | None
    output: int | None
    total: int | None

    @classmethod
    def of(cls, usage: Any) -> "TokenUsage | None":
        """Read Langflow's `usage` object; None where the model reported nothing."""
        read, written = _count(walk(usage, "input_tokens")), _count(walk(usage, "output_tokens"))
        total = _count(walk(usage, "total_tokens"))
        if read is None and written is None and total is None:
            return None
        return cls(input=read, output=written, total=_add(read, written) if total is None else total)

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(_add(self.input, other.input), _add(self.output, other.output), _add(self.total, other.total))


@dataclass(frozen=True)
class CallResult:
    """What a flow answered.

    Args:
        answer: The flow's text, if exactly one component gave one; an empty text is an answer. Else None.
        outputs: What every output gave, by component id: its text; or, where it gave none, its data as JSON. A table is
            a list of objects, a row each. What several outputs of one component gave is an object, by their names.
        session_id: Session that the flow ran under.
        job_id: Id under which Langflow keeps the run and its trace; None for a v1 run none of whose messages tells it.
        usage: Tokens, where the model reported them.
        model: Name of the model, where one answered.
        usage_by_model: Tokens by name of the model, where Langflow tells them apart, as only a trace does.
        seconds: Seconds that the run took: by Langflow's trace, where it was read; else from the request that was
            answered to the end of the response. None for JSON that was read by itself.
        raw: The response as it came.
    """

    answer: str | None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    session_id: str | None = None
    job_id: str | None = None
    usage: TokenUsage | None = None
    model: str | None = None
    usage_by_model: Mapping[str | None, TokenUsage] = field(default_factory=dict)
    seconds: float | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_v1(cls, body: Mapping[str, Any], *, redactor: Redactor = NOTHING_SECRET) -> "CallResult":
        """Read the body of a v1 run.

        Args:
            body: The body.
            redactor: Hides the client's secrets in errors that quote the flow.

        Raises:
            MalformedResponse: It has no list of outputs.
            CompletedWithoutOutput: It has an empty one.
            FlowFailed: An output is an error message.
        """
        if not isinstance(walk(body, "outputs"), list):
            raise MalformedResponse("Langflow answered 200 without the outputs of a run.", status=200)
        results = [result for result in _v1_results(body) if isinstance(result, Mapping)]
        if not results:
            raise CompletedWithoutOutput(
                "Langflow answered 200, and no component gave an output of the type that was asked for.",
                fix="For a flow that ends in no Chat Output, such as one that gives data or a table, ask for "
                "output_type='debug' or run it as a job. Else check the global variables that its fields are bound to.",
                status=200,
            )
        # `debug` gives every component, and the user's message is no answer.
        results = [result for result in results if walk(_message(result), "sender") != "User"] or results
        messages = [message for result in results if (message := _message(result)) is not None]
        for message in messages:
            if message.get("error") is True or message.get("category") == "error":
                component = text_or_none(walk(message, "properties", "source", "display_name"))
                text = text_or_none(message.get("text")) or ""
                raise flow_failed(text, "run", {"status": 200}, component, redactor=redactor)
        texts = [said for message in messages if (said := _text(message)) is not None]
        return cls(
            answer=texts[0] if len(texts) == 1 else None,
            outputs={
                text_or_none(result.get("component_id")) or str(index): _content(result)
                for index, result in enumerate(results)
            },
            session_id=text_or_none(body.get("session_id")),
            job_id=_first(text_or_none(message.get("run_id")) for message in messages),
            usage=_greatest(TokenUsage.of(walk(message, "properties", "usage")) for message in messages),
            model=_first(_model(message) for message in messages),
            raw=body,
        )

    @classmethod
    def from_v2(cls, body: Mapping[str, Any], *, redactor: Redactor = NOTHING_SECRET) -> "CallResult":
        """Read the state of a completed job.

        Args:
            body: The body.
            redactor: Hides the client's secrets in errors that quote the flow.

        Raises:
            FlowFailed: The run failed, or reports errors.
            CompletedWithoutOutput: It is called completed and has no output.
            MalformedResponse: It is neither, or contradicts itself.
        """
        status, output, outputs = body.get("status"), body.get("output"), body.get("outputs")
        errors = body.get("errors")
        if status == "failed" or (isinstance(errors, list) and errors):
            raise flow_failed(text_or_none(walk(errors, 0, "error")) or "", "run", {"status": 200}, redactor=redactor)
        if status != "completed" or not isinstance(output, Mapping) or not isinstance(outputs, Mapping):
            found = redactor.text(str(status))[:40]
            raise MalformedResponse(f"Langflow answered 200 with a run of status {found!r}.", status=200)
        reason, text = output.get("reason"), output.get("text")
        if reason == "none" and not outputs:
            raise CompletedWithoutOutput("Langflow calls the run completed, and it has no output.", status=200)
        if reason == "single" and not isinstance(text, str):
            raise MalformedResponse("Langflow answered 200 with an output that contradicts itself.", status=200)
        return cls(
            answer=text if reason == "single" else None,
            outputs={component: walk(entry, "content") for component, entry in outputs.items()},
            session_id=text_or_none(body.get("session_id")),
            job_id=text_or_none(body.get("job_id")),
            raw=body,
        )


@dataclass(frozen=True)
class Trace:
    """What a trace tells of a run.

    Args:
        usage: Tokens of all models together; None where no model reported any.
        model: Name of the first model that reported tokens.
        usage_by_model: Tokens by name of the model; None stands for one without a name.
        seconds: Seconds that the run took.
    """

    usage: TokenUsage | None = None
    model: str | None = None
    usage_by_model: Mapping[str | None, TokenUsage] = field(default_factory=dict)
    seconds: float | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Trace":
        """Read a trace's JSON, taking what is there."""
        spans = objects(body.get("spans"))
        usage: TokenUsage | None = None
        by_model: dict[str | None, TokenUsage] = {}
        # Langflow books what a model used to the component that started last as well, whichever called the model.
        models = [span if span.get("modelName") else {**span, "tokenUsage": None} for span in spans]
        for model, each in [*_usages(models)] or _usages(spans):
            usage = each if usage is None else usage + each
            by_model[model] = by_model[model] + each if model in by_model else each
        milliseconds = finite_number(body.get("totalLatencyMs"))
        return cls(
            usage=usage,
            model=_first(iter(by_model)),
            usage_by_model=by_model,
            seconds=None if milliseconds is None else milliseconds / 1000,
        )


def _v1_results(body: Mapping[str, Any]) -> Iterator[Any]:
    for run in body["outputs"]:
        results = walk(run, "outputs")
        if isinstance(results, list):
            yield from (result for result in results if result is not None)


def _message(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    # A chat output calls it "message", a text output "text".
    for name in ("message", "text"):
        message = walk(result, "results", name)
        if isinstance(message, Mapping):
            return message
    return None


def _text(message: Mapping[str, Any]) -> str | None:
    """Return a message's text; an empty one beside content blocks says nothing of its own."""
    text = message.get("text")
    if not isinstance(text, str):
        return None
    return text if text or not message.get("content_blocks") else None


def _content(result: Mapping[str, Any]) -> Any:
    message = _message(result)
    if message is not None:
        text = _text(message)
        blocks = message.get("content_blocks")
        return text if text is not None else blocks or result.get("results")
    given = given_data(result.get("outputs"))
    return result.get("results") if given is None else given


def given_data(outputs: Any) -> Any:
    """Return what the outputs of a component gave, which Langflow tells by name; None where they gave nothing."""
    if not isinstance(outputs, Mapping):
        return None
    given = {name: entry["message"] for name, entry in outputs.items() if walk(entry, "message") is not None}
    return next(iter(given.values())) if len(given) == 1 else given or None


def _model(message: Mapping[str, Any]) -> str | None:
    # The source is the model's name only where a model answered; elsewhere it is the component's.
    if TokenUsage.of(walk(message, "properties", "usage")) is None:
        return None
    return text_or_none(walk(message, "properties", "source", "source"))


def _usages(spans: Iterable[Mapping[str, Any]], model: str | None = None) -> Iterator[tuple[str | None, TokenUsage]]:
    """Yield the innermost usages and their models: a component's span repeats what the model's span inside it says."""
    names = {"input_tokens": "promptTokens", "output_tokens": "completionTokens", "total_tokens": "totalTokens"}
    for span in spans:
        own_model = text_or_none(span.get("modelName")) or model
        usage = TokenUsage.of({ours: walk(span, "tokenUsage", theirs) for ours, theirs in names.items()})
        inner = [*_usages(objects(span.get("children")), own_model)]
        yield from inner or ([(own_model, usage)] if usage is not None else [])


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _add(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _greatest(usages: Iterator[TokenUsage | None]) -> TokenUsage | None:
    # Each output tells the tokens of all models before it. Two outputs can have models in common, so that their sum can
    # be more than was used; the greatest is never more.
    known = [usage for usage in usages if usage is not None]
    return max(known, key=lambda usage: usage.total or usage.input or usage.output or 0, default=None)


def _first(values: Iterator[str | None]) -> str | None:
    return next((value for value in values if value is not None), None)
