"""`dagma ledger` on the shipped stack: who asked, by short ids, and what limits count where nothing is reported."""

import json
import re

from harness.stack import Stack
from stack.conftest import Dagster


def test_each_call_records_who_asked_and_is_found_by_the_ids_that_are_printed(
    stack: Stack, dagster: Dagster, behave: str
) -> None:
    run_id = dagster.launch(input_value="hi", flow_id=behave, mode="direct")
    assert dagster.finish(run_id).status == "SUCCESS"
    asked = stack.exec("user-code", "env", "LOGNAME=anna", "dagma", "ask", "hi", "--flow", behave, "--mode", "direct")
    found = re.search(r"/runs/([0-9a-f-]{36})", asked)
    assert found is not None, asked

    principals = {}
    for run in (run_id, found[1]):
        (line,) = stack.exec("user-code", "dagma", "ledger", "tail", "--run", run[:8]).splitlines()[1:]
        shown = stack.exec("user-code", "dagma", "ledger", "show", line.split()[0])
        fields = dict(re.split(r"\s{2,}", row, maxsplit=1) for row in shown.splitlines())
        assert (fields["run_id"], fields["state"], fields["total_tokens"]) == (run, "answered", "-")
        assert int(fields["estimated_tokens"]) > 0
        principals[run] = fields["principal"]
    assert principals == {run_id: "ui", found[1]: "cli:anna"}

    used = stack.exec(
        "user-code", "dagma", "ledger", "usage", "--by", "principal", "--since", "1h", "--format", "jsonl"
    )
    lines = {line["principal"]: line for line in map(json.loads, used.splitlines())}
    assert lines["cli:anna"]["estimated_calls"] >= 1


def test_the_application_of_the_stack_can_not_cheat_its_ledger(stack: Stack) -> None:
    negative = (
        "INSERT INTO calls (id, key, attempt, scope, flow_id, backend, mode, state, reserved_tokens, reserved_cost,"
        " input_hash) VALUES ('x', 'x', 1, 's', 'f', 'b', 'direct', 'begun', -1000000000, 0, 'x')"
    )
    statements = ["DELETE FROM replays", "UPDATE calls SET begun_at = now()", "DELETE FROM usage_hours", negative]
    cheat = (
        "import json, sys, sqlalchemy as sa; from dagma.ledger import LedgerSettings\n"
        "database = LedgerSettings.from_environment().open().database\n"
        "for statement in json.loads(sys.argv[1]):\n"
        "    try:\n"
        "        with database.engine.begin() as connection: connection.exec_driver_sql(statement)\n"
        "    except sa.exc.DBAPIError as error: print('refused:', str(error.orig).splitlines()[0])\n"
        "    else: print('done:', statement)\n"
    )
    refused = stack.exec("worker", "python", "-c", cheat, json.dumps(statements)).splitlines()
    assert [line.split(":")[0] for line in refused] == ["refused"] * 4
    assert "calls_amounts" in refused[-1]
