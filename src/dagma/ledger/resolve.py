"""`dagma ledger resolve`: say what becomes of a call that was sent and whose end nobody saw."""

import argparse
import getpass
import socket
from contextlib import suppress
from typing import Any

from dagma.ledger.admission import begun_from_row
from dagma.ledger.errors import LedgerError
from dagma.ledger.ledger_settings import LedgerSettings
from dagma.ledger.reports import Record, find_calls

DECISIONS = {"resend": "is sent again by the next retry of its run", "give_up": "is not sent again"}


def add_resolve(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("resolve", help="decide on a call whose outcome is unknown", description=__doc__)
    parser.add_argument("name", help="the beginning of its id, as `tail` and the failure of its run show it")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument(
        "--resend",
        dest="decision",
        action="store_const",
        const="resend",
        help="the next retry of its run sends it again; it may have been paid for",
    )
    choice.add_argument(
        "--give-up",
        dest="decision",
        action="store_const",
        const="give_up",
        help="each retry of its run fails at it, without a look for its answer",
    )
    parser.set_defaults(handler=run_resolve)


def run_resolve(arguments: argparse.Namespace) -> int:
    """Record the decision."""
    ledger = LedgerSettings.from_environment().open()
    call = _the_call(find_calls(ledger.database, arguments.name), arguments.name)
    if arguments.decision == "give_up" and call["rejected_at"] is not None:
        raise LedgerError(f"Call {call['id']} was decided to be sent again before, and that can't be taken back.")
    by = f"decided by {_whoami()} with `dagma ledger resolve`"
    decide = ledger.resend if arguments.decision == "resend" else ledger.give_up
    decide(begun_from_row("unknown", call), by)
    (recorded,) = find_calls(ledger.database, call["id"])
    if recorded["state"] != "unknown":
        raise LedgerError(f"Call {call['id']} is {recorded['state']} by now: nothing is left to decide.")
    print(f"Call {call['id']} {DECISIONS[arguments.decision]}.")
    if arguments.decision == "resend" and call["run_id"]:
        print(f"Retry run {call['run_id']} from failure.")
    return 0


def _the_call(records: list[Record], name: str) -> Record:
    """Choose the call that is meant: the newest attempt, where all that fit are of one call."""
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


def _whoami() -> str:
    user = "somebody"
    with suppress(KeyError, OSError):  # no such user in a container
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"
