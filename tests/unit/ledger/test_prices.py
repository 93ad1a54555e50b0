from datetime import UTC, datetime
from decimal import Decimal

import pytest

from dagma.ledger import LedgerSettingsError, Prices, Usage

AT = datetime(2026, 3, 1, tzinfo=UTC)


def cost(prices: str, *usages: Usage) -> Decimal | None:
    return Prices(prices).cost(usages, AT)


def used(model: str | None, inputs: int | None = 1000, outputs: int | None = 100, total: int | None = None) -> Usage:
    return Usage(model=model, input_tokens=inputs, output_tokens=outputs, total_tokens=total)


def test_a_well_known_model_has_a_price_without_any_setting() -> None:
    assert cost("", used("gpt-4o")) == Decimal("0.0035")


def test_an_own_price_wins() -> None:
    assert cost("gpt-4o=1/10", used("GPT-4o")) == Decimal("0.002")
    assert cost("gpt-*=1/1; gpt-4o=5/5", used("gpt-4o")) == Decimal("0.0011")


def test_only_a_star_stands_for_something_else_in_a_models_name() -> None:
    assert cost("sonnet[1m]=1/10", used("Sonnet[1m]")) == Decimal("0.002")
    assert cost("sonnet?=1/10", used("sonnet5")) is None


def test_a_local_model_can_be_free() -> None:
    assert cost("smollm2*=0/0", used("SmolLM2-135M-Instruct")) == 0


@pytest.mark.parametrize(
    "usage", [used("nobody-knows"), used(None), used("gpt-4o", None), used("gpt-4o", outputs=None)]
)
def test_what_is_not_known_is_no_price_rather_than_nothing(usage: Usage) -> None:
    assert cost("", usage) is None


def test_no_usage_is_no_price() -> None:
    assert cost("") is None


def test_a_total_is_enough_where_both_prices_are_the_same() -> None:
    assert cost("flat=2/2", used("flat", None, None, 500)) == Decimal("0.001")
    assert cost("steep=2/3", used("steep", None, None, 500)) is None


def test_a_call_of_several_models_has_a_price_if_all_of_them_have() -> None:
    assert cost("a=1/1; b=2/2", used("a"), used("b")) == Decimal("0.0033")
    assert cost("a=1/1", used("a"), used("nobody-knows")) is None


@pytest.mark.parametrize("clause", ["gpt-4o", "gpt-4o=1", "gpt-4o=1/-2", "=1/2", "gpt-4o=1/2/3", "gpt-4o=free"])
def test_a_clause_that_can_not_be_read_is_named_with_an_example(clause: str) -> None:
    with pytest.raises(LedgerSettingsError, match=r"USD per million tokens.*such as: gpt-4o=") as caught:
        Prices(f"a=1/1; {clause}")
    assert repr(clause) in str(caught.value)
