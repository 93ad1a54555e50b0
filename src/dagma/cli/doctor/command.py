"""The command: which checks there are, and what it prints."""

import argparse

from dagma.cli.doctor.check import Check, run_checks
from dagma.cli.doctor.checks_of_dagster import check_daemons, check_dagster, check_workers
from dagma.cli.doctor.checks_of_data import check_disk, check_ledger, check_settings
from dagma.cli.doctor.checks_of_langflow import check_api_key, check_default_flow, check_langflow, check_llm

CHECKS = (
    Check("settings", check_settings),
    Check("Langflow", check_langflow),
    Check("API key", check_api_key, needs="Langflow"),
    Check("default flow", check_default_flow, needs="API key"),
    Check("LLM", check_llm, needs="API key"),
    Check("Dagster", check_dagster),
    Check("daemons", check_daemons, needs="Dagster"),
    Check("workers", check_workers),
    Check("ledger", check_ledger),
    Check("disk", check_disk),
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `doctor`."""
    parser = subparsers.add_parser(
        "doctor",
        help="check everything that a call needs",
        description="Check everything that a call needs, and print a line for each check. "
        "Only the check of the LLM costs anything: it asks for one token.",
    )
    parser.add_argument("--no-llm", action="store_true", help="skip the check of the LLM")
    parser.set_defaults(handler=doctor)


def doctor(options: argparse.Namespace) -> int:
    """Run every check, print a line for each, and return 0 only if none fails."""
    checks = [check for check in CHECKS if not (options.no_llm and check.ask is check_llm)]
    failed = 0
    for name, verdict, said in run_checks(checks):
        failed += verdict == "FAILED"
        print(f"{verdict:<8} {name}: {said}", flush=True)
    return 1 if failed else 0
