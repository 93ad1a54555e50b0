"""What is pruned of the ledger."""

from datetime import UTC, datetime, timedelta

from dagma.ledger import Call, Ledger
from dagma.retention.calls import prune_ledger


def test_raw_responses_expire_where_calls_are_kept_for_ever(ledger_url: str) -> None:
    ledger = Ledger(ledger_url, clock=lambda: datetime.now(UTC) - timedelta(days=500))
    ledger.finish(ledger.begin(Call(flow_id="f", input_hash="x" * 64, scope="s")), raw="Paris")
    assert prune_ledger(Ledger(ledger_url), days=0) == {"calls": 0, "raw responses": 1}
