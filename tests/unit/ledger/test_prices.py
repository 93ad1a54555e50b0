from datetime import UTC, datetime
from decimal import Decimal

import pytest

from dagma.ledger import LedgerSettingsError, Prices, Usage

AT = datetime(2026, 3, 1, tzinfo=UTC)


def used(model: str | None, inputs: int | None = 1000, outputs: int | None = 100, total: int | None = None) -> Usage:
    return Usage(model=model, input_tokens=inputs, output_tokens=outputs, total_tokens=total)


@pytest.mark.parametrize(
    ("prices", "usages", "cost"),
    [
        ("", [used("gpt-4o")], "0.0035"),
        ("gpt-4o=1/10", [used("GPT-4o")], "0.002"),
        ("gpt-*=1/1; gpt-4o=5/5", [used("gpt-4o")], "0.0011"),
        ("sonnet[1m]=1/10", [used("Sonnet[1m]")], "0.002"),
        ("sonnet?=1/10", [used("sonnet5")], None),
        ("smollm2*=0/0", [used("SmolLM2-135M-Instruct")], "0"),
        ("", [used("nobody-knows")], None),
        ("", [used(None)], None),
        ("", [used("gpt-4o", None)], None),
        ("", [used("gpt-4o", outputs=None)], None),
        ("", [], None),
        ("flat=2/2", [used("flat", None, None, 500)], "0.001"),
        ("steep=2/3", [used("steep", None, None, 500)], None),
        ("a=1/1; b=2/2", [used("a"), used("b")], "0.0033"),
        ("a=1/1", [used("a"), used("nobody-knows")], None),
    ],
)
def test_what_is_not_known_is_no_price_rather_than_nothing(prices: str, usages: list[Usage], cost: str | None) -> None:
    assert Prices(prices).cost(usages, AT) == (None if cost is None else Decimal(cost))


@pytest.mark.parametrize("clause", ["gpt-4o", "gpt-4o=1", "gpt-4o=1/-2", "=1/2", "gpt-4o=1/2/3", "gpt-4o=free"])
def test_a_clause_that_can_not_be_read_is_named_with_an_example(clause: str) -> None:
    with pytest.raises(LedgerSettingsError, match=r"USD per million tokens.*such as: gpt-4o=") as caught:
        Prices(f"a=1/1; {clause}")
    assert repr(clause) in str(caught.value)
