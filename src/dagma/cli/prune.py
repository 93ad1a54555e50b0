"""`dagma prune`: delete what is past its days now, as the schedule `prune_daily` does every night."""

import argparse
import math

from dagma import environment
from dagma.backends.langflow.access_variables import langflow_client
from dagma.langflow import LangflowError
from dagma.ledger import LedgerError, LedgerSettings
from dagma.retention.calls import prune_ledger
from dagma.retention.langflow_history import LangflowPruner
from dagma.retention.store_pruning import Pace, Pruned, RetentionSettings


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `prune`."""
    parser = subparsers.add_parser(
        "prune", help="delete what is older than DAGMA_RETENTION_* says", description=__doc__
    )
    parser.add_argument("--dry-run", action="store_true", help="only count what would be deleted")
    parser.set_defaults(handler=prune)


def prune(options: argparse.Namespace) -> int:
    """Prune each store, print a line for each, and return 0 only if none fails."""
    settings = RetentionSettings.from_environment()
    failures = 0
    for name, prune_store in STORES.items():
        try:
            pruned = prune_store(settings, options.dry_run)
            print(f"{name:<9} {'would delete' if options.dry_run else 'deleted'}: {pruned}", flush=True)
        except Exception as error:  # noqa: BLE001 (whatever it is, the other stores are pruned)
            failures += 1
            is_own = isinstance(error, LangflowError | LedgerError | environment.SettingError)
            cause = str(error) if is_own else f"{type(error).__name__}: {' '.join(str(error).split())}"
            print(f"{name:<9} FAILED: {cause}", flush=True)
    return 1 if failures else 0


def _prune_runs(settings: RetentionSettings, dry_run: bool) -> Pruned:
    import dagster as dg  # two seconds, of which the other commands have no use

    from dagma.retention.runs import RunPruner

    with dg.DagsterInstance.get() as instance:
        return RunPruner(instance, days=settings.runs, pace=Pace(math.inf), dry_run=dry_run).prune()


def _prune_langflow(settings: RetentionSettings, dry_run: bool) -> Pruned:
    with langflow_client() as client:
        days, chats_days = settings.langflow, settings.chats
        return LangflowPruner(client, days=days, chats_days=chats_days, pace=Pace(math.inf), dry_run=dry_run).prune()


def _prune_calls(settings: RetentionSettings, dry_run: bool) -> Pruned:
    ledger = LedgerSettings.from_environment().open()
    return prune_ledger(ledger, days=settings.ledger, pace=Pace(math.inf), dry_run=dry_run)


STORES = {"Dagster": _prune_runs, "Langflow": _prune_langflow, "ledger": _prune_calls}
