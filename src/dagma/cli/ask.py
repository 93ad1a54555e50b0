"""`dagma ask`: one question, through Dagster, to a flow."""

import argparse
import json
import sys
import time
from typing import Any

from dagma.webserver import Outcome, Webserver, WebserverError

JOB = "langflow_run_flow_job"
ASSET = "langflow_run_flow"
INTERRUPTED = 130


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `ask`."""
    parser = subparsers.add_parser(
        "ask", help="send a question to a flow through Dagster and print the answer", description=__doc__
    )
    parser.add_argument("question", help="the input")
    parser.add_argument("--flow", metavar="ID", help="id or endpoint name of the flow; default: the stack's own")
    parser.add_argument("--session", metavar="ID", help="the conversation to continue")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    parser.add_argument(
        "--wait", type=float, default=600.0, metavar="SECONDS", help="stop waiting after this long; the run goes on"
    )
    parser.set_defaults(handler=ask)


def ask(options: argparse.Namespace) -> int:
    """Launch the asset's job, wait for its end, and print the answer; 0 only if there is one."""
    webserver = Webserver.from_environment()
    started = time.monotonic()
    run_id = None
    try:
        run_id = webserver.launch(JOB, run_config(options), tags={"dagma/asked_by": "cli"})
        for _ in webserver.follow(run_id):
            if time.monotonic() - started > options.wait:
                return _leave(webserver, run_id, f"No answer after {options.wait:g} s.", exit_code=1)
        outcome = webserver.outcome(run_id)
    except WebserverError as error:
        print(f"dagma: {error}", file=sys.stderr)
        if run_id:
            print(f"  run      {webserver.run_url(run_id)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _leave(webserver, run_id, "Interrupted.", exit_code=INTERRUPTED)
    seconds = time.monotonic() - started
    report = {"run": webserver.run_url(run_id), "run_id": run_id, "run_status": outcome.status, **outcome.metadata}
    if options.json:
        print(json.dumps({**report, "seconds_in_all": round(seconds, 3), "failure": outcome.failure or None}, indent=2))
    else:
        _print(outcome, report, seconds)
    return 0 if _has_answer(outcome) else 1


def run_config(options: argparse.Namespace) -> dict[str, Any]:
    """Put the command line's choices into the asset's run config."""
    config = {"input_value": options.question, "flow_id": options.flow, "session_id": options.session}
    return {"ops": {ASSET: {"config": {name: value for name, value in config.items() if value is not None}}}}


def _has_answer(outcome: Outcome) -> bool:
    return outcome.status == "SUCCESS" and outcome.metadata.get("status") != "skipped"


def _print(outcome: Outcome, report: dict[str, Any], seconds: float) -> None:
    if _has_answer(outcome):
        print(f"{report.get('answer', '(The answer is not recorded: DAGMA_RECORD_TEXTS=none.)')}\n")
    elif outcome.metadata.get("status") == "skipped":
        print("Skipped: no flow is configured. Set LANGFLOW_DEFAULT_FLOW_ID, or name one with --flow.\n")
    else:
        cause = report.get("cause") or outcome.failure or "See the run."
        print(f"The run ended as {outcome.status}. {' '.join(filter(None, [cause, report.get('mend')]))}\n")
    print(f"  run      {report['run']}")
    if report.get("flow_url"):
        print(f"  flow     {report['flow_url']}")
    if _has_answer(outcome):
        tokens = [report.get(f"{kind}_tokens") for kind in ("input", "output", "total")]
        known = "{} in, {} out, {} in all".format(*tokens) if None not in tokens else "the model did not report them"
        print(f"  tokens   {known}")
        print(f"  seconds  {report.get('duration_seconds', 0):.1f} for the call, {seconds:.1f} in all")


def _leave(webserver: Webserver, run_id: str | None, cause: str, *, exit_code: int) -> int:
    where = f"The run goes on: {webserver.run_url(run_id)}" if run_id else "Nothing was launched."
    print(f"{cause} {where}", file=sys.stderr)
    return exit_code
