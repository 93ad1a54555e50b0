"""`dagma ledger ...`: look at calls, export them, add up what was used, decide on lost ones, and keep the tables."""

import argparse
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from sqlalchemy import ColumnElement

from dagma import environment
from dagma.ledger.admission import begun_from_row
from dagma.ledger.call import State
from dagma.ledger.database import Database, utc_now
from dagma.ledger.errors import LedgerError
from dagma.ledger.formats import FORMATS, printable, show_decimal, show_value, write_records
from dagma.ledger.ledger_settings import LedgerSettings, setting_from
from dagma.ledger.migrate import migrate
from dagma.ledger.pruning import keep_days_from_environment
from dagma.ledger.quotas import window_start
from dagma.ledger.reports import ALL, Record, all_calls, find_calls, last_calls, of_flow, of_run, standings
from dagma.ledger.tables import calls
from dagma.ledger.texts import storable
from dagma.ledger.totals import FIGURES, GROUPS, By, sums

COLUMNS = [*calls.c.keys(), "rejected_at", "rejected_reason"]
TAIL_COLUMNS = [
    *("id", "begun_at", "flow", "state", "attempt", "seconds", "tokens", "cost", "model", "principal", "run", "error")
]
LIMIT_COLUMNS = ["limit", "flow", "principal", "used", "left", "frees_at"]
MOST_ROWS = 100_000
AGES = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def add_parser(subparsers: Any) -> None:
    """Register `ledger` and its commands."""
    parser = subparsers.add_parser(
        "ledger",
        help="show calls, usage and quotas, and decide on lost calls",
        description="Show calls, usage and quotas, decide on lost calls, and upgrade the tables.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    tail = commands.add_parser("tail", help="show the last calls")
    tail.add_argument("-n", "--count", type=int, default=20, help="how many; default: %(default)s")
    _add_filter(tail)
    _add_format(tail, "table")
    tail.set_defaults(handler=run_tail)

    show = commands.add_parser("show", help="show everything about a call; of several, 1,000 at most, a line each")
    show.add_argument("name", type=storable, help="the beginning of its id or key, or of its run's or job's id")
    _add_format(show, "table")
    show.set_defaults(handler=run_show)

    export = commands.add_parser("export", help="write calls to standard output as JSON lines, CSV or a table")
    _add_filter(export)
    _add_format(export, "jsonl")
    export.set_defaults(handler=run_export)

    usage = commands.add_parser("usage", help="show quotas, and what was used")
    usage.add_argument("--since", type=parse_time, help="show only sums, since then; default: since this month began")
    usage.add_argument("--by", choices=GROUPS, help="show only sums, a row for each of these; default: flow")
    usage.add_argument("--flow", type=storable, help="show only sums, of this flow: its endpoint name, name or id")
    _add_format(usage, "table")
    usage.set_defaults(handler=run_usage)

    resolve = commands.add_parser(
        "resolve", help="decide on a call whose outcome is unknown", description=run_resolve.__doc__
    )
    resolve.add_argument("name", type=storable, help="the beginning of its id, which `tail` and its run's failure show")
    choice = resolve.add_mutually_exclusive_group(required=True)
    choice.add_argument(
        "--resend", action="store_true", help="the next retry of its run sends it again, which may pay twice"
    )
    choice.add_argument(
        "--give-up", action="store_true", help="each retry of its run fails, without looking for its answer"
    )
    resolve.set_defaults(handler=run_resolve)

    tables = commands.add_parser("migrate", help="create or upgrade the tables, as their owner")
    tables.set_defaults(handler=run_migrate)


def run_tail(arguments: argparse.Namespace) -> int:
    """Show the last calls."""
    database = LedgerSettings.from_environment().open().database
    count = min(max(arguments.count, 0), MOST_ROWS)
    _write_tail(last_calls(database, count, *_filter(arguments, database)), arguments.format)
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Show every field of a call; a line per call, if several fit."""
    records = find_calls(LedgerSettings.from_environment().open().database, arguments.name)
    if arguments.format != "table":
        write_records(records, COLUMNS, arguments.format, sys.stdout)
        return 0
    if len(records) > 1:
        _write_tail(records, "table")
        return 0
    width = max(map(len, COLUMNS))
    for column in COLUMNS:
        print(f"{column:<{width}}  {printable(show_value(records[0][column]))}")
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Write all calls that fit, with all their fields."""
    database = LedgerSettings.from_environment().open().database
    write_records(all_calls(database, *_filter(arguments, database)), COLUMNS, arguments.format, sys.stdout)
    return 0


def run_usage(arguments: argparse.Namespace) -> int:
    """Show where each quota stands and, in a table, what this month used; with an option, the sums alone."""
    ledger = LedgerSettings.from_environment().open()
    with ledger.database.read() as connection:
        now = ledger.database.now(connection)
    if not (arguments.since or arguments.by or arguments.flow is not None):
        limits = standings(ledger.database, ledger.limits, now)
        if limits or arguments.format != "table":
            write_records(limits, LIMIT_COLUMNS, arguments.format, sys.stdout)
        if arguments.format != "table":
            return 0
        print("" if limits else "No quotas are set (DAGMA_QUOTAS).\n")
    by: By = arguments.by or "flow"
    since = arguments.since or window_start("month", now)
    lines = [{**line, by: line["name"]} for line in sums(ledger.database, by, since, arguments.flow)]
    if arguments.flow is not None and not lines:
        of_flow(ledger.database, arguments.flow)  # or it is told
    if arguments.format == "table":
        lines += [{**line, by: ALL} for line in sums(ledger.database, None, since, arguments.flow)]
    write_records(lines, [by, *FIGURES], arguments.format, sys.stdout)
    return 0


def run_resolve(arguments: argparse.Namespace) -> int:
    """Decide on a call that was sent and whose end nobody saw."""
    ledger = LedgerSettings.from_environment().open()
    call = _the_call(find_calls(ledger.database, arguments.name), arguments.name)
    if arguments.give_up and call["rejected_at"] is not None:
        raise LedgerError(f"Call {call['id']} was already marked to be sent again, which can't be undone.")
    # Not as user@host, which would be redacted as an e-mail address.
    by = f"decided by {environment.user_name()} on {socket.gethostname()} with `dagma ledger resolve`"
    decide = ledger.resend if arguments.resend else ledger.give_up
    decide(begun_from_row("unknown", call), by)
    (recorded,) = find_calls(ledger.database, call["id"])
    if recorded["state"] != "unknown":
        raise LedgerError(f"Call {call['id']} is {recorded['state']} now: nothing is left to decide.")
    print(
        f"Call {call['id']} is {'sent again by the next retry of its run' if arguments.resend else 'not sent again'}."
    )
    if arguments.resend and call["run_id"]:
        print(f"Retry run {call['run_id']} from failure.")
    return 0


def run_migrate(_: argparse.Namespace) -> int:
    """Create or upgrade the tables."""
    url = setting_from("DAGMA_LEDGER_OWNER_URL") or LedgerSettings.from_environment().url
    version = migrate(url, setting_from("DAGMA_LEDGER_APP_ROLE"), keep_days_from_environment())
    print(f"The ledger's tables are at version {version}.")
    return 0


def parse_time(text: str) -> datetime:
    """Read a time: a date, a date and time (UTC unless it names a zone), or an age such as `90m`, `24h`, `7d`.

    Raises:
        argparse.ArgumentTypeError: It is none of these.
    """
    try:
        if text[:-1].isdecimal() and text[-1:] in AGES:
            return utc_now() - int(text[:-1]) * AGES[text[-1]]
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: write 2026-01-31, 2026-01-31T12:00, or an age such as 90m, 24h, 7d"
        ) from None


def _add_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--flow",
        type=storable,
        help="only flows with this endpoint name, name or id, or else whose id begins like this",
    )
    parser.add_argument("--state", choices=get_args(State), help="only calls in this state")
    parser.add_argument("--run", type=storable, help="only calls of this Dagster run (the beginning of its id will do)")
    parser.add_argument(
        "--since", type=parse_time, help="only calls since then: a time (UTC), or an age such as 24h or 7d"
    )
    parser.add_argument("--until", type=parse_time, help="only calls before then")


def _add_format(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--format", choices=FORMATS, default=default, help="default: %(default)s")


def _filter(arguments: argparse.Namespace, database: Database) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if arguments.flow is not None:
        conditions.append(of_flow(database, arguments.flow))
    if arguments.run is not None:
        conditions.append(of_run(database, arguments.run))
    if arguments.state:
        conditions.append(calls.c.state == arguments.state)
    if arguments.since:
        conditions.append(calls.c.begun_at >= arguments.since)
    if arguments.until:
        conditions.append(calls.c.begun_at < arguments.until)
    return conditions


def _write_tail(records: list[Mapping[str, Any]], form: str) -> None:
    if form == "table":
        write_records([_tail_line(record) for record in records], TAIL_COLUMNS, form, sys.stdout)
    else:
        write_records(records, COLUMNS, form, sys.stdout)


def _tail_line(record: Mapping[str, Any]) -> dict[str, Any]:
    milliseconds = record["duration_ms"]
    return {
        **record,
        "id": record["id"][:8],
        "flow": record["flow_name"] or record["flow_title"] or record["flow_id"],
        "state": _state_of(record),
        "seconds": None if milliseconds is None else f"{milliseconds / 1000:.1f}",
        "tokens": record["total_tokens"],
        "cost": None if record["cost"] is None else show_decimal(record["cost"]),
        "run": record["run_id"] and record["run_id"][:8],
        "error": record["error_class"],
    }


def _state_of(record: Mapping[str, Any]) -> str:
    # A rejection of an unknown call is the decision to send it again.
    if record["rejected_at"] and record["state"] != "unknown":
        return "rejected"
    return f"{record['state']} x{record['refusals']}" if (record["refusals"] or 0) > 1 else str(record["state"])


def _the_call(records: list[Record], name: str) -> Record:
    """Choose the call that is meant: the only unknown one of a run, a job or a call."""
    names = [{record[each] for record in records} for each in ("id", "key", "run_id", "job_id")]
    if not any(len(each) == 1 and None not in each for each in names):
        raise LedgerError(f"{name!r} begins the ids of several calls, runs or jobs. Write more of the id.")
    unknown = [record for record in records if record["state"] == "unknown"]
    if not unknown:
        states = ", ".join(dict.fromkeys(record["state"] for record in records))
        raise LedgerError(
            f"No call that {name!r} names is unknown ({states}): only a call that was sent and whose end nobody saw "
            "can be resolved. One that is begun becomes unknown when its run is retried."
        )
    if len(unknown) > 1:
        listed = ", ".join(record["id"][:12] for record in unknown[:10])
        raise LedgerError(f"{name!r} names {len(unknown)} unknown calls: {listed}. Write more of the id.")
    return unknown[0]
