"""Tokens, model and times of a run, from Langflow's trace of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dagma.langflow.result import TokenUsage
from dagma.langflow.untrusted_json import finite_number, objects, text_or_none, walk


@dataclass(frozen=True)
class Trace:
    """What a trace tells of a run.

    Args:
        usage: Tokens of all models together; None where no model reported any.
        model: Name of the first model.
        usage_by_model: Tokens by name of the model; None stands for one without a name.
        seconds: Seconds that the run took.
        component_seconds: Seconds by display name of the component.
    """

    usage: TokenUsage | None = None
    model: str | None = None
    usage_by_model: Mapping[str | None, TokenUsage] = field(default_factory=dict)
    seconds: float | None = None
    component_seconds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Trace":
        """Read a trace's JSON, taking what is there."""
        spans = objects(body.get("spans"))
        usage: TokenUsage | None = None
        by_model: dict[str | None, TokenUsage] = {}
        for span in spans:
            for model, each in _usages(span):
                usage = each if usage is None else usage + each
                by_model[model] = by_model[model] + each if model in by_model else each
        component_seconds: dict[str, float] = {}
        for span in spans:
            name, seconds = text_or_none(span.get("name")), _seconds(span.get("latencyMs"))
            if name is not None and seconds is not None:
                component_seconds[name] = component_seconds.get(name, 0.0) + seconds
        return cls(
            usage=usage,
            model=next((model for span in spans for model in _models(span)), None),
            usage_by_model=by_model,
            seconds=_seconds(body.get("totalLatencyMs")),
            component_seconds=component_seconds,
        )


def _usages(span: Mapping[str, Any], model: str | None = None) -> Iterator[tuple[str | None, TokenUsage]]:
    """Yield the innermost usages and their models: a component's span repeats what the model's span inside it says."""
    model = text_or_none(span.get("modelName")) or model
    inner = [usage for child in objects(span.get("children")) for usage in _usages(child, model)]
    if inner:
        yield from inner
        return
    own = walk(span, "tokenUsage")
    names = {"input_tokens": "promptTokens", "output_tokens": "completionTokens", "total_tokens": "totalTokens"}
    usage = TokenUsage.of({ours: walk(own, theirs) for ours, theirs in names.items()})
    if usage is not None:
        yield model or next(_models(span), None), usage


def _models(span: Mapping[str, Any]) -> Iterator[str]:
    if (model := text_or_none(span.get("modelName"))) is not None:
        yield model
    for child in objects(span.get("children")):
        yield from _models(child)


def _seconds(milliseconds: Any) -> float | None:
    number = finite_number(milliseconds)
    return None if number is None else number / 1000
