from collections.abc import Callable
from datetime import timedelta

import pytest
from ledger_suites.fixtures import make_ledger
from ledger_suites.tools import Clock, MakeLedger, new_call

from dagma.cli.main import main
from dagma.ledger import Ledger, Usage
from dagma.ledger.database import utc_now

__all__ = ["Dagma", "make_ledger"]

Dagma = Callable[..., int]


@pytest.fixture
def owner_url(ledger_url: str) -> str:
    return ledger_url


@pytest.fixture
def dagma(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Dagma:
    """`dagma ...` on the test's own ledger."""
    monkeypatch.setenv("DAGMA_LEDGER_URL", ledger_url)
    monkeypatch.setenv("DAGMA_PRICES", "tiny=1/2")

    return lambda *arguments: main(["ledger", *arguments])


@pytest.fixture
def ledger(make_ledger: MakeLedger) -> Ledger:
    """Three calls: answered by `assistant`, failed of run-2, and begun just now."""
    clock = Clock(utc_now() - timedelta(hours=2))
    ledger = make_ledger(prices="tiny=1/2", texts="full", clock=clock)
    begun = ledger.begin(
        new_call(
            flow_id="5c0ffee0-2222-4000-8000-000000000001",
            flow_name="assistant",
            run_id="run-1-abcdef",
            principal="ui",
            input_text='Zürich, "quoted"\n2nd line',
        )
    )
    clock.advance(seconds=1.25)
    usage = Usage(model="tiny", input_tokens=1000, output_tokens=500)
    ledger.finish(begun, raw="x", answer='=HYPERLINK("http://evil")', usages=[usage])
    clock.advance(hours=1)
    report = new_call(flow_id="flow-2", flow_title="Report", run_id="run-2", principal="schedule:daily")
    ledger.fail(ledger.begin(report), "FlowFailed", "LLM is \x1b[31mdown")
    clock.advance(hours=1)
    ledger.begin(new_call(mode="job"))
    return ledger
