"""Who may do what in Dagster's webserver behind the gateway: the real one, in this process."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    is_leaf_type,
)
from harness import addresses
from harness.addresses import WEB_SOCKET, filled
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import WebSocketDenialResponse
from unit.execution.gateway import ANNA, SECRET, Gateway, gateway, headers, launch, mutations

from dagma.execution.guarded_webserver import role_of_route
from dagma.execution.roles import MUTATIONS, ROUTES, Role

ROLES = ("viewer", "editor", "admin")
LIVE = "ws://127.0.0.1:3000/graphql"


@pytest.fixture(scope="module")
def dagster(_empty_dagster_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(shutil.copytree(_empty_dagster_home, tmp_path_factory.mktemp("roles") / "home")) as behind:
        yield behind


def literal(of: GraphQLInputType) -> str:
    """Write something of a type, with what is required alone."""
    if isinstance(of, GraphQLNonNull):
        return literal(of.of_type)
    if isinstance(of, GraphQLList):
        return "[]"
    if isinstance(of, GraphQLEnumType):
        return next(iter(of.values))
    if isinstance(of, GraphQLInputObjectType):
        fields = {name: field.type for name, field in of.fields.items() if isinstance(field.type, GraphQLNonNull)}
        return "{" + ", ".join(f"{name}: {literal(given)}" for name, given in fields.items()) + "}"
    return {"Int": "1", "Float": "1", "Boolean": "true", "Timestamp": "1"}.get(of.name, '"x"')


def document(name: str) -> str:
    """Call a mutation with the least that it takes."""
    field = mutations().fields[name]
    given = {
        argument: literal(described.type)
        for argument, described in field.args.items()
        if isinstance(described.type, GraphQLNonNull)
    }
    arguments = f"({', '.join(f'{name}: {value}' for name, value in given.items())})" if given else ""
    of = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
    return f"mutation {{ {name}{arguments} {'' if is_leaf_type(of) else '{ __typename }'} }}"


# --- The tables are those of the installed Dagster ------------------------------------------------------------------


def test_every_mutation_of_dagster_has_a_role_and_no_other() -> None:
    assert MUTATIONS.keys() == set(mutations().fields)


def test_every_route_of_dagster_has_a_role_and_no_other(dagster: Gateway) -> None:
    routes = dagster.webserver.build_routes()
    guarded = [route for route in routes if isinstance(route, Route | WebSocketRoute | Mount)]
    assert len(guarded) == len(routes) > 15
    assert [route.path for route in guarded if role_of_route(route) is None] == []
    assert {route.path for route in guarded} >= ROUTES.keys()


# --- Roles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_through_to_its_mutations_and_is_refused_the_others(dagster: Gateway, role: str) -> None:
    refused = {}
    for name in mutations().fields:
        status, answer = dagster.ask(role, document(name))
        assert status != 400, answer
        if status == 403:
            refused[name] = answer["errors"][0]["message"]
    assert refused.keys() == {name for name, needed in MUTATIONS.items() if needed > Role[role.upper()]}
    for name, message in refused.items():
        assert message == f"{name} needs the role {MUTATIONS[name]}; {ANNA} has the role {role}. See docs/roles.md."


def statuses(dagster: Gateway, sent: dict[str, Any]) -> dict[tuple[str, str], int]:
    """What each method of each route of Dagster answers to somebody, by method and path."""
    return {
        (method, path): dagster.http.request(
            method, filled(path), headers=sent, json={} if method == "POST" else None
        ).status_code
        for method, path in sorted(addresses.dagster().routes)
        if method != WEB_SOCKET
    }


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_through_to_its_routes_and_is_refused_the_others(dagster: Gateway, role: str) -> None:
    found = statuses(dagster, headers(role))
    assert 401 not in found.values()
    needed = {(method, path): ROUTES.get(path, Role.VIEWER) for method, path in found}
    assert {each for each, status in found.items() if status == 403} == {
        each for each in needed if needed[each] > Role[role.upper()]
    }


def test_no_route_answers_what_comes_from_outside_past_the_gateway(dagster: Gateway) -> None:
    outside = {"Sec-Fetch-Site": "none", "Accept": "text/html"}
    assert set(statuses(dagster, outside).values()) == {401}
    with pytest.raises(WebSocketDenialResponse) as denied, dagster.http.websocket_connect(LIVE, headers=outside):
        pass
    assert denied.value.status_code == 401


@pytest.mark.parametrize("role", ROLES)
def test_everybody_reads(dagster: Gateway, role: str) -> None:
    assert dagster.ask(role, "{ version }")[0] == 200
    assert dagster.http.get("/runs", headers=headers(role)).status_code == 200
    assert dagster.http.get("/server_info", headers=headers(role)).status_code == 200


def test_a_fault_of_dagster_is_told_without_its_stack_trace_which_is_in_the_log(
    dagster: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    status, answer = dagster.ask("viewer", "{ capturedLogs(logKey: []) { stdout } }")
    (error,) = answer["errors"]
    assert (status, "extensions" in error) == (500, False)
    assert "not enough values to unpack" in error["message"]
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("editor", True)])
def test_the_pages_learn_that_a_viewer_only_reads(dagster: Gateway, role: str, may: bool) -> None:
    query = "{ permissions { permission value } workspaceOrError { ... on Workspace { locationEntries {"
    status, answer = dagster.ask(role, query + " permissions { permission value } } } } }")
    assert status == 200
    (location,) = answer["data"]["workspaceOrError"]["locationEntries"]
    for permissions in (answer["data"]["permissions"], location["permissions"]):
        # Dagster itself has this one switched off.
        told = {entry["value"] for entry in permissions if entry["permission"] != "edit_app_managed_components"}
        assert told == {may}


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("editor", 200), ("admin", 200), (None, 200)])
@pytest.mark.parametrize("kind", ["materialization", "observation"])
def test_an_event_of_an_external_asset_takes_an_editor(
    dagster: Gateway, role: str | None, status: int, kind: str
) -> None:
    answer = dagster.http.post(f"/report_asset_{kind}/outside", json={}, headers=headers(role))
    assert answer.status_code == status, answer.text


def test_a_route_without_a_role_is_refused_to_everybody_but_the_stack(
    dagster: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ROUTES, "/server_info")
    http = Gateway(dagster.webserver, dagster.instance).http
    answer = http.get("/server_info", headers=headers("admin"))
    assert (answer.status_code, "was not given a role yet" in answer.text) == (403, True)
    assert http.get("/server_info").status_code == 200


def test_a_mutation_without_a_role_is_refused_to_everybody_but_the_stack(
    dagster: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(MUTATIONS, "setNuxSeen")
    status, answer = dagster.ask("admin", "mutation { setNuxSeen }")
    assert (status, "was not given a role yet" in answer["errors"][0]["message"]) == (403, True)
    assert dagster.ask(None, "mutation { setNuxSeen }")[0] == 200


# --- Ways around ----------------------------------------------------------------------------------------------------

WIPE = "wipeAssets(assetPartitionRanges: []) { __typename }"
DISGUISES = {
    "an alias": "mutation { version: " + WIPE + " }",
    "a fragment": "mutation { ...harmless } fragment harmless on Mutation { " + WIPE + " }",
    "an inline fragment": "mutation { ... { ... on Mutation { " + WIPE + " } } }",
    "a second operation": "query One { version } mutation Two { " + WIPE + " }",
    "a mutation that is allowed": "mutation { setNuxSeen " + WIPE + " }",
    "a directive": "mutation { " + WIPE.replace(" {", " @skip(if: false) {", 1) + " }",
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_mutation_is_refused_in_every_disguise(dagster: Gateway, disguise: str) -> None:
    sent = DISGUISES[disguise]
    operation = {"operationName": "Two"} if "Two" in sent else {}
    status, answer = dagster.ask("editor", sent, **operation)
    assert (status, answer["data"]) == (403, None)
    assert "wipeAssets needs the role admin" in answer["errors"][0]["message"]
    # It is a document that Dagster executes.
    status, answer = dagster.ask("admin", sent, **operation)
    assert (status, "AssetWipeSuccess" in json.dumps(answer)) == (200, True)


def test_a_batch_and_a_get_execute_nothing(dagster: Gateway) -> None:
    run_id = launch(dagster)
    sent = f'mutation {{ deleteRun(runId: "{run_id}") {{ __typename }} }}'
    for answer in (
        dagster.http.post("/graphql", json=[{"query": sent}], headers=headers("admin")),
        dagster.http.get("/graphql", params={"query": sent}, headers=headers("admin")),
        dagster.http.get("/graphql", params={"query": sent}, headers={**headers("admin"), "Accept": "text/html"}),
        dagster.http.post("/graphql", params={"query": sent}, json={}, headers=headers("admin")),
    ):
        assert '"data"' not in answer.text
    assert dagster.instance.has_run(run_id)


def over_websocket(dagster: Gateway, role: str, query: str) -> dict[str, Any]:
    with dagster.http.websocket_connect(LIVE, subprotocols=["graphql-ws"], headers=headers(role)) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json() == {"type": "connection_ack"}
        socket.send_json({"type": "start", "id": "1", "payload": {"query": query}})
        answer: dict[str, Any] = socket.receive_json()
        return answer


def test_the_log_of_a_run_comes_over_the_websocket(dagster: Gateway) -> None:
    query = f'subscription {{ pipelineRunLogs(runId: "{launch(dagster)}") {{ __typename }} }}'
    answer = over_websocket(dagster, "viewer", query)
    assert answer["payload"]["data"]["pipelineRunLogs"]["__typename"] == "PipelineRunLogsSubscriptionSuccess"


@pytest.mark.parametrize("first", ["", 'pipelineRunLogs(runId: "{run}") {{ __typename }} '])
def test_no_mutation_is_executed_over_the_websocket(dagster: Gateway, first: str) -> None:
    run_id = launch(dagster)
    sent = "mutation {{ " + first + 'deleteRun(runId: "{run}") {{ __typename }} }}'
    assert over_websocket(dagster, "admin", sent.format(run=run_id))["type"] == "error"
    assert dagster.instance.has_run(run_id)


# --- Who came through the gateway -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"X-Dagma-Role": "admin"}, "secret is missing or wrong"),
        ({"X-Dagma-Principal": ANNA, "X-Dagma-Role": "admin"}, "secret is missing or wrong"),
        (headers("admin", secret="t" * 32), "secret is missing or wrong"),
        (headers("admin", secret=SECRET[:-1]), "secret is missing or wrong"),
        (headers("admin", secret=""), "secret is missing or wrong"),
        ({"X-Dagma-Anything": "1"}, "secret is missing or wrong"),
        # What a browser or a proxy sends: nobody comes past the gateway as the stack.
        ({"Origin": "http://127.0.0.1:3000"}, "secret is missing or wrong"),
        ({"Sec-Fetch-Site": "same-origin"}, "secret is missing or wrong"),
        ({"X-Forwarded-For": "10.0.0.1"}, "secret is missing or wrong"),
        ({"Forwarded": "for=10.0.0.1"}, "secret is missing or wrong"),
        ({"X-Dagma-Gateway": SECRET}, "must say who asks"),
        (headers("admin", principal=" "), "must say who asks"),
        (headers("admin", principal="a" * 201), "must say who asks"),
        (headers("owner"), "viewer, editor, admin"),
        (headers("ADMIN"), "viewer, editor, admin"),
        ({"X-Dagma-Gateway": SECRET, "X-Dagma-Principal": ANNA}, "viewer, editor, admin"),
    ],
)
def test_what_does_not_prove_itself_is_refused(dagster: Gateway, sent: dict[str, Any], told: str) -> None:
    answer = dagster.http.post("/graphql", json={"query": "{ version }"}, headers=sent)
    assert (answer.status_code, told in answer.text, SECRET in answer.text) == (401, True, False)


def test_nobody_writes_a_line_of_the_log(dagster: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    assert dagster.http.get("/runs%0AGranted", headers={"X-Dagma-Role": "admin"}).status_code == 401
    assert ["\n" in record.getMessage() for record in caplog.records if record.name.startswith("dagma")] == [False]


def test_a_header_that_is_there_twice_is_refused(dagster: Gateway) -> None:
    sent = [*headers("viewer").items(), ("X-Dagma-Role", "admin")]
    answer = dagster.http.post("/graphql", json={"query": "{ version }"}, headers=sent)
    assert (answer.status_code, "more than once" in answer.text) == (401, True)


def test_the_stacks_own_programs_need_no_gateway(dagster: Gateway) -> None:
    assert dagster.ask(None, "mutation { reloadWorkspace { __typename } }")[0] == 200


def test_without_a_gateway_its_headers_mean_nothing(dagster_home: str) -> None:
    with gateway(Path(dagster_home), secret=None) as dagster:
        run_id = launch(dagster, "viewer", tags=[{"key": "dagma/principal", "value": "cli:anna"}])
        run = dagster.instance.get_run_by_id(run_id)
        assert run is not None
        assert run.tags["dagma/principal"] == "cli:anna"
        assert dagster.http.get("/server_info", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 200
