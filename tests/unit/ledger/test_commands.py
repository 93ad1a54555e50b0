import argparse
import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from ledger_suites.tools import Clock, MakeLedger, new_call
from unit.ledger.conftest import Dagma

from dagma.ledger import Ledger, QuotaExceededError, Usage
from dagma.ledger.commands import COLUMNS, parse_time
from dagma.ledger.database import utc_now
from dagma.ledger.formats import write_records
from dagma.ledger.reports import last_calls


def lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("ledger")
def test_tail_shows_the_last_calls_as_a_table(dagma: Dagma, capsys: pytest.CaptureFixture[str]) -> None:
    assert dagma("tail") == 0
    title, first, second, third = lines(capsys)
    assert " ".join(title) == "ID BEGUN AT FLOW STATE ATTEMPT SECONDS TOKENS COST MODEL PRINCIPAL RUN ERROR"
    assert first[3:] == ["assistant", "answered", "1", "1.2", "1500", "0.002", "tiny", "ui", "run-1-ab", "-"]
    assert second[3:] == ["Report", "failed", "1", "0.0", "-", "-", "-", "schedule:daily", "run-2", "FlowFailed"]
    assert third[3:] == ["flow-1", "begun", "1", "-", "-", "-", "-", "-", "-", "-"]


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("arguments", "flows"),
    [
        (["-n", "2"], ["Report", "flow-1"]),
        (["--flow", "assistant"], ["assistant"]),
        (["--flow", "5c0ffee0"], ["assistant"]),
        (["--flow", "flow-2"], ["Report"]),
        (["--flow", "Report"], ["Report"]),
        (["--state", "failed"], ["Report"]),
        (["--run", "run-2"], ["Report"]),
        (["--run", "run-1-ab"], ["assistant"]),
        (["--since", "90m"], ["Report", "flow-1"]),
        (["--until", "90m"], ["assistant"]),
        (["--run", "run-"], ["assistant", "Report"]),
        (["--since", "1d", "--state", "unknown"], []),
    ],
)
def test_tail_shows_what_was_asked_for(
    dagma: Dagma, capsys: pytest.CaptureFixture[str], arguments: list[str], flows: list[str]
) -> None:
    assert dagma("tail", *arguments) == 0
    assert [line[3] for line in lines(capsys)[1:]] == flows


def test_a_flow_is_found_by_its_whole_name_before_others_that_begin_so(
    dagma: Dagma, make_ledger: MakeLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = make_ledger()
    for flow in ("report", "report-weekly"):
        ledger.begin(new_call(flow_id=flow))
    for name, flows in (("report", ["report"]), ("report-", ["report-weekly"]), ("re", ["report", "report-weekly"])):
        assert dagma("tail", "--flow", name) == 0
        assert [line[3] for line in lines(capsys)[1:]] == flows
        assert dagma("usage", "--flow", name) == 0
        assert [line[0] for line in lines(capsys)[1:]] == [*flows, "all"]


def test_show_tells_everything_about_a_call(dagma: Dagma, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert dagma("show", "run-2") == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(shown) == COLUMNS
    assert (shown["state"], shown["error_class"]) == ("failed", "FlowFailed")
    assert shown["error_message"] == "LLM is \ufffd[31mdown"
    assert dagma("show", shown["id"][:10]) == 0
    assert shown["key"] in capsys.readouterr().out


@pytest.mark.usefixtures("ledger")
def test_show_gives_every_field_to_programs_as_well(dagma: Dagma, capsys: pytest.CaptureFixture[str]) -> None:
    assert dagma("show", "run-2", "--format", "jsonl") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert list(json.loads(line)) == COLUMNS
    assert dagma("show", "run-2", "--format", "csv") == 0
    assert capsys.readouterr().out.splitlines()[0] == ",".join(COLUMNS)


def test_show_takes_every_short_id_that_tail_prints(
    dagma: Dagma, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dagma("tail") == 0
    for line in lines(capsys)[1:]:
        assert dagma("show", line[0]) == 0
        assert capsys.readouterr().out.split()[1].startswith(line[0])
    ledger.submitted(job := ledger.begin(new_call(mode="job")), "job-77")
    assert dagma("show", "job-7") == 0
    assert job.call_id in capsys.readouterr().out
    assert dagma("show", job.key[:10]) == 0
    assert job.call_id in capsys.readouterr().out


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", ""], "An empty text names no call"),
        (["resolve", "", "--resend"], "An empty text names no call"),
        (["tail", "--flow", ""], "An empty text names no call"),
        (["export", "--run", ""], "An empty text names no call"),
        (["usage", "--flow", ""], "An empty text names no call"),
        (["resolve", "run-", "--give-up"], "'run-' begins the ids of several calls, runs or jobs. Write more of"),
        (["show", "nothing"], "No call's id, key, run or job begins with 'nothing'."),
        (["tail", "--run", "run-3"], "no call of a run whose id begins with 'run-3'."),
        (["tail", "--flow", "nobody"], "no call of a flow 'nobody'."),
        (["tail", "--flow", "\x1b[2J"], r"no call of a flow '\x1b[2J'."),
        (["export", "--flow", "%"], "no call of a flow '%'"),
        (["tail", "--flow", "Z\udcfcrich"], "no call of a flow 'Z?rich'"),  # as from a terminal that is not UTF-8
        (["show", "\udcff"], "begins with '?'"),
        (["tail", "--run", "\udcff"], "begins with '?'"),
    ],
)
def test_a_name_that_is_nobodys_is_an_error(
    dagma: Dagma, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert dagma(*arguments) == 1
    output = capsys.readouterr()
    assert (output.out, message in output.err) == ("", True), output.err


@pytest.mark.usefixtures("ledger")
def test_show_lists_the_calls_whose_names_begin_alike(dagma: Dagma, capsys: pytest.CaptureFixture[str]) -> None:
    assert dagma("show", "run-") == 0
    assert [line[3] for line in lines(capsys)[1:]] == ["assistant", "Report"]


def test_the_unknown_call_of_a_long_run_is_found_among_all(
    dagma: Dagma, make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dagma.ledger.reports.MOST_NAMED", 3)
    ledger = make_ledger()
    begun = [ledger.begin(new_call(run_id="run-7")) for _ in range(5)]
    ledger.unknown(begun[0], "CallTimeout", "too late")
    assert dagma("show", "run-7", "--format", "jsonl") == 0
    shown = [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]
    assert shown == [begun[0].call_id, begun[3].call_id, begun[4].call_id]
    assert dagma("resolve", "run-7", "--resend") == 0
    assert f"Call {begun[0].call_id} is sent again" in capsys.readouterr().out


def test_who_decided_is_kept_whatever_their_machine_is_called(
    dagma: Dagma, make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagma.environment.user_name", lambda: "anna")
    monkeypatch.setattr("socket.gethostname", lambda: "build.example.com")
    ledger = make_ledger()
    ledger.unknown(begun := ledger.begin(new_call()), "CallTimeout", "too late")
    assert dagma("resolve", begun.call_id, "--resend") == 0
    (call,) = last_calls(ledger.database, 1)
    assert call["rejected_reason"] == "decided by anna on build.example.com with `dagma ledger resolve`"


@pytest.mark.usefixtures("ledger")
def test_export_writes_json_lines_word_for_word(dagma: Dagma, capsys: pytest.CaptureFixture[str]) -> None:
    assert dagma("export") == 0
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(first) == COLUMNS
    assert first["input_text"] == 'Zürich, "quoted"\n2nd line'
    assert first["answer_text"] == '=HYPERLINK("http://evil")'
    assert (first["cost"], first["total_tokens"], second["cost"]) == ("0.002", 1500, None)
    assert datetime.fromisoformat(first["begun_at"]).tzinfo == UTC
    assert third["state"] == "begun"


@pytest.mark.usefixtures("ledger")
def test_export_writes_csv_that_a_spreadsheet_does_not_run(dagma: Dagma, capsys: pytest.CaptureFixture[str]) -> None:
    assert dagma("export", "--format", "csv", "--until", "90m") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(row) == COLUMNS
    assert row["input_text"] == 'Zürich, "quoted"\n2nd line'
    assert row["answer_text"] == '\'=HYPERLINK("http://evil")'
    assert (row["error_class"], row["cost"]) == ("", "0.002")


def test_whatever_begins_a_formula_is_a_text_in_csv() -> None:
    written = io.StringIO(newline="")
    texts = [f"{start}1+1" for start in "=+-@\uff1d\uff0b\uff0d\uff20\t\r\n"]
    write_records([{"text": text} for text in [*texts, "one\r=1+1"]], ["text"], "csv", written)
    written.seek(0)
    assert [row["text"] for row in csv.DictReader(written)] == [*(f"'{text}" for text in texts), "one\r=1+1"]


def test_export_is_complete_beyond_one_batch(
    dagma: Dagma, make_ledger: MakeLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = make_ledger()
    expected = {ledger.begin(new_call(mode="job")).call_id for _ in range(520)}
    assert dagma("export") == 0
    exported = [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]
    assert len(exported) == 520
    assert set(exported) == expected


def test_a_reader_that_stops_is_no_error(make_ledger: MakeLedger, ledger_url: str) -> None:
    ledger = make_ledger(texts="full")
    for _ in range(100):
        ledger.begin(new_call(mode="job", input_text="x" * 5000))
    script = "from dagma.cli.main import main; raise SystemExit(main(['ledger', 'export']))"
    exporter = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "DAGMA_LEDGER_URL": ledger_url},
    )
    assert exporter.stdout is not None
    assert exporter.stderr is not None
    exporter.stdout.readline()
    exporter.stdout.close()
    assert (exporter.wait(20), exporter.stderr.read()) == (0, b"")


@pytest.mark.usefixtures("ledger")
def test_usage_shows_limits_and_totals(
    dagma: Dagma, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quotas = "calls=1000/month; flow:assistant cost=0.5/month; principal:schedule:daily calls=9/month"
    quotas += "; principal:* calls=5/month"
    monkeypatch.setenv("DAGMA_QUOTAS", quotas)
    assert dagma("usage", "--format", "jsonl") == 0
    calls, cost, daily, nobody, *others = map(json.loads, capsys.readouterr().out.splitlines())
    assert (calls["limit"], calls["flow"]) == ("calls=1000/month", "all")
    assert (cost["limit"], cost["flow"], cost["principal"]) == ("flow:assistant cost=0.5/month", "assistant", "all")
    assert (daily["principal"], daily["flow"], daily["used"]) == ("schedule:daily", "all", "1")
    assert (nobody["principal"], nobody["limit"]) == (None, "principal:* calls=5/month")
    assert [line["limit"] for line in others] == ["principal:* calls=5/month"] * 2
    assert dagma("usage") == 0
    printed = lines(capsys)
    assert printed[0][-2:] == ["FREES", "AT"]
    assert [line[:2] for line in printed[-4:]] == [["Report", "1"], ["assistant", "1"], ["flow-1", "1"], ["all", "3"]]


def test_usage_shows_what_is_left(
    dagma: Dagma, make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGMA_QUOTAS", "calls=10/month; tokens=100/month")
    ledger = make_ledger()
    ledger.finish(ledger.begin(new_call()), raw="", usages=[Usage(total_tokens=30)])
    assert dagma("usage", "--format", "csv") == 0
    calls, tokens = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (calls["used"], calls["left"], tokens["used"], tokens["left"]) == ("1", "9", "30", "70")


def test_usage_adds_up_by_day_flow_and_principal(
    dagma: Dagma, make_ledger: MakeLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    today = utc_now().replace(hour=0, minute=30)
    clock = Clock(today - timedelta(days=2))
    ledger = make_ledger(prices="tiny=1/1", clock=clock)

    def spend(tokens: int | None, **call: str) -> None:
        usages = [Usage(model="tiny", input_tokens=tokens, output_tokens=0)] if tokens else []
        ledger.finish(ledger.begin(new_call(**call)), raw="", answer="x" * 400, usages=usages)

    spend(1000, flow_id="a", flow_title="Report", principal="cli:anna")
    clock.advance(days=1)
    spend(2000, flow_id="a", principal="schedule:daily")
    spend(None, flow_id="b", principal="cli:anna", input_text="y" * 40)
    clock.advance(days=1)
    spend(4000, flow_id="b")

    def rows(*arguments: str) -> list[list[str]]:
        assert dagma("usage", "--since", "3d", *arguments, "--format", "csv") == 0
        found = csv.DictReader(io.StringIO(capsys.readouterr().out))
        names = ("calls", "tokens", "cost", "estimated_calls", "estimated_tokens")
        return [[next(iter(row.values())), *(row[name] for name in names)] for row in found]

    days = [f"{today - timedelta(days=ago):%Y-%m-%d}" for ago in (2, 1, 0)]
    assert rows("--by", "day") == [
        [days[0], "1", "1000", "0.001", "0", "0"],
        [days[1], "2", "2000", "0.002", "1", "110"],
        [days[2], "1", "4000", "0.004", "0", "0"],
    ]
    assert rows("--by", "principal") == [
        ["", "1", "4000", "0.004", "0", "0"],
        ["cli:anna", "2", "1000", "0.001", "1", "110"],
        ["schedule:daily", "1", "2000", "0.002", "0", "0"],
    ]
    assert rows() == [["Report", "2", "3000", "0.003", "0", "0"], ["b", "2", "4000", "0.004", "1", "110"]]
    assert rows("--by", "day", "--flow", "Report") == [
        [days[0], "1", "1000", "0.001", "0", "0"],
        [days[1], "1", "2000", "0.002", "0", "0"],
    ]
    assert dagma("usage", "--flow", "Reprot") == 1
    assert "no call of a flow 'Reprot'" in capsys.readouterr().err
    assert dagma("usage", "--since", "3d", "--by", "principal") == 0
    assert lines(capsys)[-1] == ["all", "4", "7000", "0.007", "1", "1", "1", "110", "-"]


def test_tail_shows_how_often_a_call_was_refused(
    dagma: Dagma, make_ledger: MakeLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = make_ledger(quotas="calls=0/day")
    for _ in range(3):
        with pytest.raises(QuotaExceededError):
            ledger.begin(new_call(run_id="run-7", principal="ui"))
    assert dagma("tail", "--state", "refused") == 0
    (line,) = lines(capsys)[1:]
    assert line[3:] == ["flow-1", "refused", "x3", "0", "-", "-", "-", "-", "ui", "run-7", "QuotaExceededError"]
    assert dagma("usage", "--by", "principal") == 0
    assert lines(capsys)[-1][:2] == ["all", "0"]


def test_usage_says_so_where_there_is_no_quota(dagma: Dagma, capsys: pytest.CaptureFixture[str]) -> None:
    assert dagma("usage") == 0
    assert capsys.readouterr().out.startswith("No quotas are set (DAGMA_QUOTAS).")


def test_an_error_is_one_line_and_exit_code_1(
    dagma: Dagma, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGMA_QUOTAS", "lots")
    assert dagma("usage") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("dagma: Quota 'lots' can't be read.")
    assert output.err.count("\n") == 1


def test_times_are_read_as_dates_and_as_ages() -> None:
    assert parse_time("2026-03-10") == datetime(2026, 3, 10, tzinfo=UTC)
    assert parse_time("2026-03-10T12:00+02:00") == datetime(2026, 3, 10, 10, tzinfo=UTC)
    assert abs((utc_now() - timedelta(hours=24) - parse_time("24h")).total_seconds()) < 60
    for no_time in ("yesterday", "9999999999d", "²d", "0001-01-01T00:00+02:00"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a time"):
            parse_time(no_time)
