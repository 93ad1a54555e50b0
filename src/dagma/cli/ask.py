"""`dagma ask`: one question, through Dagster, to a flow."""

import argparse
import json
import sys
import time
from typing import Any

from dagma.cli.ask_input import InputError, parse_tweaks, read_question
from dagma.cli.launching import add_wait_option, how_it_ended, run_to_end
from dagma.execution.webserver import Outcome, Webserver
from dagma.ledger.formats import printable

JOB = "langflow_run_flow_job"
ASSET = "langflow_run_flow"
USAGE = 2


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `ask`."""
    parser = subparsers.add_parser(
        "ask",
        help="send a question to a flow through Dagster and print the answer",
        description="Send a question to a flow through Dagster, wait for the run, and print the answer.",
    )
    parser.add_argument("question", nargs="?", help="the input; - reads standard input")
    parser.add_argument("--file", metavar="PATH", help="read the input from a file")
    parser.add_argument("--flow", metavar="ID", help="id or endpoint name of the flow; default: the default flow")
    parser.add_argument("--session", metavar="ID", help="the conversation to continue")
    parser.add_argument(
        "--tweaks", metavar="JSON", help='fields of components for this call: {"component id": {"field": value}}'
    )
    parser.add_argument(
        "--mode",
        choices=("auto", "direct", "job"),
        help="direct: one request; job: a durable job; auto: a job where that is possible; default: LANGFLOW_MODE",
    )
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    add_wait_option(parser)
    parser.set_defaults(handler=ask)


def ask(options: argparse.Namespace) -> int:
    """Launch the asset's job, wait for its end, and print the answer; 0 only if there is one."""
    try:
        config = run_config(options)
    except InputError as error:
        print(f"dagma ask: {error}", file=sys.stderr)
        return USAGE
    webserver = Webserver.from_environment()
    started = time.monotonic()
    run_id, outcome = run_to_end(webserver, JOB, config, options.wait)
    seconds = time.monotonic() - started
    report = {"run": webserver.run_url(run_id), "run_id": run_id, "run_status": outcome.status, **outcome.metadata}
    if options.json:
        print(json.dumps({**report, "seconds_in_all": round(seconds, 3), "failure": outcome.failure or None}, indent=2))
    else:
        _print(outcome, report, seconds)
    return 0 if _has_answer(outcome) else 1


def run_config(options: argparse.Namespace) -> dict[str, Any]:
    """Put the command line's choices into the asset's run config.

    Raises:
        InputError: The question or the tweaks can't be sent.
    """
    config = {
        "input_value": read_question(options.question, options.file),
        "flow_id": options.flow,
        "session_id": options.session,
        "tweaks": parse_tweaks(options.tweaks) if options.tweaks is not None else None,
        "mode": options.mode,
    }
    return {"ops": {ASSET: {"config": {name: value for name, value in config.items() if value is not None}}}}


def _has_answer(outcome: Outcome) -> bool:
    return outcome.status == "SUCCESS" and outcome.metadata.get("status") != "skipped"


def _print(outcome: Outcome, report: dict[str, Any], seconds: float) -> None:
    if _has_answer(outcome):
        answer = report.get("answer", "(The answer is not recorded: DAGMA_RECORD_TEXTS=none.)")
        print(f"{printable(answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False, indent=2))}\n")
        if (rows := report.get("answer_rows")) is not None:
            print(f"  rows     {rows} in all; the run's value has them\n")
    elif outcome.metadata.get("status") == "skipped":
        print("Skipped: no flow is configured. Set LANGFLOW_DEFAULT_FLOW_ID, or name one with --flow.\n")
    else:
        print(f"{how_it_ended(outcome)}\n")
    print(f"  run      {report['run']}")
    if report.get("flow_url"):
        print(f"  flow     {report['flow_url']}")
    if _has_answer(outcome):
        tokens = [report.get(f"{kind}_tokens") for kind in ("input", "output", "total")]
        known = "{} in, {} out, {} in all".format(*tokens) if None not in tokens else "the model did not report them"
        print(f"  tokens   {known}")
        print(f"  seconds  {report.get('duration_seconds', 0):.1f} for the call, {seconds:.1f} in all")
