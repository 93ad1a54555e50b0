from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagma.ledger import LedgerSettingsError, Limit, parse_quotas
from dagma.ledger.quotas import window_end, window_start


def test_every_part_of_the_syntax_is_read() -> None:
    assert parse_quotas("calls=1_000/day; cost = 5.50 / month ;flow:assistant tokens=200000/hour reserve=2000;") == (
        Limit("calls", Decimal(1000), "day"),
        Limit("cost", Decimal("5.50"), "month"),
        Limit("tokens", Decimal(200000), "hour", "assistant", Decimal(2000)),
    )
    assert parse_quotas("flow:a principal:anna@example.com calls=5/day; principal:* cost=1/month") == (
        Limit("calls", Decimal(5), "day", "a", principal="anna@example.com"),
        Limit("cost", Decimal(1), "month", principal="*"),
    )
    assert parse_quotas(" ; ") == ()


@pytest.mark.parametrize(
    "clause",
    [
        "calls",
        "calls=/day",
        "calls=-1/day",
        "calls=5",
        "calls=5/week",
        "coins=5/day",
        "flow: calls=5/day",
        "principal: calls=5/day",
        "principal:anna flow:a calls=5/day",
        "5 calls a day",
    ],
)
def test_a_clause_that_can_not_be_read_is_named_with_an_example(clause: str) -> None:
    with pytest.raises(LedgerSettingsError, match=r"can't be read.*such as: calls=1000/day") as caught:
        parse_quotas(f"calls=1/day; {clause}")
    assert repr(clause) in str(caught.value)


def test_a_limit_that_could_never_let_a_call_in_is_refused() -> None:
    assert parse_quotas("tokens=500/day reserve=500")
    with pytest.raises(LedgerSettingsError, match=r"never let a call in.*Lower the reserve"):
        parse_quotas("tokens=499/day reserve=500")


@pytest.mark.parametrize("clause", ["principal:anna tokens=500/day reserve=5", "calls=5/day reserve=1"])
def test_a_reserve_is_of_tokens_or_cost_and_no_principals(clause: str) -> None:
    with pytest.raises(LedgerSettingsError, match="only limits on tokens or cost without a principal take a reserve"):
        parse_quotas(clause)


LIMITS = st.builds(
    Limit,
    unit=st.just("cost"),
    amount=st.decimals(min_value=100, max_value=10**9, places=4),
    window=st.sampled_from(["hour", "day", "month"]),
    flow=st.none() | st.from_regex(r"[a-z0-9*-]+", fullmatch=True),
    reserve=st.none() | st.decimals(min_value=0, max_value=100, places=3),
)


OF_PRINCIPALS = st.builds(
    Limit,
    unit=st.sampled_from(["calls", "tokens"]),
    amount=st.integers(min_value=0, max_value=10**9).map(Decimal),
    window=st.sampled_from(["hour", "day", "month"]),
    flow=st.none() | st.from_regex(r"[a-z0-9*-]+", fullmatch=True),
    principal=st.from_regex(r"[a-z0-9@.:*-]+", fullmatch=True),
)


@given(LIMITS | OF_PRINCIPALS)
def test_a_limit_is_written_as_it_is_read(limit: Limit) -> None:
    assert parse_quotas(str(limit)) == (limit,)


@given(st.datetimes(min_value=datetime(2000, 1, 1)), st.sampled_from(["hour", "day", "month"]))  # noqa: DTZ001 (made aware below)
def test_windows_follow_each_other_without_a_gap(moment: datetime, window: str) -> None:
    at = moment.replace(tzinfo=UTC, year=min(moment.year, 9998))
    start, end = window_start(window, at), window_end(window, at)  # type: ignore[arg-type]
    assert start <= at < end
    assert window_start(window, end) == end  # type: ignore[arg-type]
    assert window_end(window, end - timedelta(microseconds=1)) == end  # type: ignore[arg-type]


def test_windows_are_those_of_utc() -> None:
    new_year_in_tokyo = datetime.fromisoformat("2027-01-01T08:00:00+09:00")
    assert window_start("month", new_year_in_tokyo) == datetime(2026, 12, 1, tzinfo=UTC)
