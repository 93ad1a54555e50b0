"""What the ledger is told of tokens, from the responses of direct calls and of jobs."""

from datetime import UTC, datetime
from typing import Any

from dagma.defs.llm.answer import Answer
from dagma.defs.llm.resources import LangflowRestResource
from dagma.ledger import Prices, Usage

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
