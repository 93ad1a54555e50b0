"""What the ledger is told of tokens, from the responses of direct calls and of jobs."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dagma.backends.langflow.langflow_jobs import Clients, LangflowJobs, run_response
from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.calls.answer import Answer
from dagma.calls.call_record import CallRecord, describe_call
from dagma.calls.request import CallRequest, FlowReference
from dagma.langflow import CallResult, TokenUsage, Trace
from dagma.ledger import Begun, Prices, Usage

AT = datetime(2026, 3, 1, tzinfo=UTC)


def output(component: str, usage: dict[str, Any], model: str = "gpt-4o") -> dict[str, Any]:
    properties = {"usage": usage, "source": {"source": model}}
    return {"component_id": component, "results": {"message": {"text": component, "properties": properties}}}


def usages_of_direct_call(*outputs: dict[str, Any]) -> tuple[Usage, ...]:
    return LangflowRestResource().read({"outputs": [{"outputs": list(outputs)}]}).usages


def test_a_total_without_its_parts_has_no_price_rather_than_none_at_all() -> None:
    usages = usages_of_direct_call(output("A", {"total_tokens": 500}))
    assert usages == (Usage(model="gpt-4o", total_tokens=500),)
    assert Prices().cost(usages, AT) is None


def test_a_backends_figures_that_can_not_be_true_are_not_reported() -> None:
    answer = Answer.from_response({"text": "yes", "usage": {"model": 7, "input_tokens": -1, "output_tokens": "12"}})
    assert answer.usages == (Usage(),)


SPANS = {
    "spans": [
        {"modelName": "gpt-4o", "tokenUsage": {"promptTokens": 1000, "completionTokens": 100}},
        {"modelName": "gpt-4o-mini", "tokenUsage": {"promptTokens": 2000, "completionTokens": 10}},
    ]
}
USAGES = (
    Usage(model="gpt-4o", input_tokens=1000, output_tokens=100, total_tokens=1100),
    Usage(model="gpt-4o-mini", input_tokens=2000, output_tokens=10, total_tokens=2010),
)


def test_each_model_of_a_job_has_its_own_price() -> None:
    trace = Trace.of(SPANS)
    result = CallResult("Paris", {"A": "Paris"}, usage=trace.usage, usage_by_model=trace.usage_by_model)
    assert LangflowRestResource().read(run_response(result)).usages == USAGES


def test_each_model_of_a_stopped_job_is_told() -> None:
    client = SimpleNamespace(trace=lambda _: Trace.of(SPANS))
    assert LangflowJobs(cast("Clients", SimpleNamespace(quick_client=client)), 60).spent("job-1") == USAGES


def test_a_response_that_does_not_tell_models_apart_is_read_as_before() -> None:
    result = CallResult("Paris", {"A": "Paris"}, usage=TokenUsage(7, 3, 10), model="gpt-4o")
    assert LangflowRestResource().read(run_response(result)).usages == (
        Usage(model="gpt-4o", input_tokens=7, output_tokens=3, total_tokens=10),
    )


def test_zeros_beside_an_answer_are_not_reported_by_any_backend() -> None:
    nothing = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert usages_of_direct_call(output("Agent", nothing, "local")) == (Usage(model="local"),)
    spans = {"spans": [{"modelName": "local", "tokenUsage": {"promptTokens": 0, "completionTokens": 0}}]}
    trace = Trace.of(spans)
    result = CallResult("Paris", {"A": "Paris"}, usage=trace.usage, usage_by_model=trace.usage_by_model)
    assert LangflowRestResource().read(run_response(result)).usages == (Usage(model="local"),)
    assert Answer.from_response({"text": "yes", "usage": {"model": "local", **nothing}}).usages == (
        Usage(model="local"),
    )
    assert Answer.from_response({"text": "", "usage": nothing}).usages == (Usage(**nothing),)


def test_an_answer_that_is_no_single_text_tells_how_long_it_is() -> None:
    table = {"component_id": "T", "results": {"data": [1, 2]}}
    answer = LangflowRestResource().read({"outputs": [{"outputs": [table]}]})
    assert (answer.text, answer.characters) == (None, len('{"data": [1, 2]}'))
    assert LangflowRestResource().read({"outputs": [{"outputs": [output("A", {})]}]}).characters is None


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (Usage(model="my-model", input_tokens=7, output_tokens=2), "unpriced: set DAGMA_PRICES"),
        (Usage(model="gpt-4o", total_tokens=500), None),
        (Usage(model="gpt-4o", input_tokens=0, output_tokens=0), None),
    ],
)
def test_a_model_is_called_unpriced_only_where_its_tokens_are_known(usage: Usage, told: str | None) -> None:
    begun = Begun(state="new", call_id="c", key="k", attempt=1, begun_at=AT, mode="direct")
    request, flow = CallRequest(flow_id="f", input_value="hi"), FlowReference("f")
    answer = Answer(text="yes", usages=(usage,))
    call = CallRecord(
        begun=begun, origin="sent", flow=flow, request=request, response={}, answer=answer, seconds=1.0, cost=None
    )
    cost = describe_call(call, texts=False).get("cost_usd")
    assert (cost and cost.value) == told
