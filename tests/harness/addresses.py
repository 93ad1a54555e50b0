"""Every address of both UIs: the routes of their applications, and what their built pages are made of and ask for.

Dagster's are read from the tests' own packages. Langflow's are read inside its image, where this file is run.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any

WEB_SOCKET = "WEB SOCKET"
"""Stands for the method of a route that is a web socket."""
# "/graphql"; and of a table of names such as {TRACES:"monitor/traces"}, which pages put behind /api/v1/ or /api/v2/.
ADDRESS = re.compile(r"[\"'`](/\w[\w./-]*)")
NAMED = re.compile(r'\b[A-Z][A-Z\d_]+:"([a-z][a-z\d_/-]*)"')
WITH_A_KEY = frozenset(
    {
        ("POST", "/api/v1/run/{flow_id_or_name}"),
        ("POST", "/api/v1/run/session/{flow_id_or_name}"),
        ("POST", "/api/v1/run/advanced/{flow_id_or_name}"),
        *((method, "/api/v2/workflows") for method in ("GET", "POST")),
        ("POST", "/api/v2/workflows/stop"),
        ("GET", "/api/v2/workflows/pending"),
        ("GET", "/api/v2/workflows/{job_id}/events"),
        ("POST", "/api/v2/workflows/{job_id}/resume"),
    }
)
"""The routes of Langflow to which the gateway lets machines with one of Langflow's own keys, which Langflow checks."""


@dataclass(frozen=True)
class Addresses:
    """The addresses of a UI.

    Args:
        routes: The method and the path of each route, as the application writes it: `("GET", "/flows/{flow_id}")`.
        writing: Those that write although they answer a GET, as far as the application says so itself.
        pages: The paths of the files of its pages, and those that stand in them; of files one of each kind in each
            folder, since there are thousands of icons.
    """

    routes: frozenset[tuple[str, str]]
    writing: frozenset[tuple[str, str]]
    pages: frozenset[str]


def filled(path: str) -> str:
    """Put something where a route's path has parameters."""
    return re.sub(r"\{[^}]*\}", "x", path)


def in_pages(folder: Path) -> set[str]:
    """Give the paths of the files of a built UI, and those that stand in its pages and scripts."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    found = {f"/{file.relative_to(folder)}" for file in files}
    for text in (file.read_text() for file in files if file.suffix in (".html", ".js")):
        found.update(ADDRESS.findall(text))
        found.update(f"/api/{version}/{name}" for name in NAMED.findall(text) for version in ("v1", "v2"))
    kinds = {path: PurePath(path).suffix and (PurePath(path).parent, PurePath(path).suffix) for path in sorted(found)}
    return set({kind or path: path for path, kind in kinds.items()}.values())


@cache
def dagster() -> Addresses:
    """Read the addresses of the installed Dagster."""
    from dagster_webserver.webserver import DagsterWebserver
    from starlette.routing import Mount, WebSocketRoute

    webserver: DagsterWebserver[Any, Any] = DagsterWebserver(process_context=None)
    routes = set()
    for route in webserver.build_routes():  # type: ignore[no-untyped-call]
        if isinstance(route, Mount):
            routes.add(("GET", f"{route.path}/{{path}}"))
        else:
            methods = [WEB_SOCKET] if isinstance(route, WebSocketRoute) else route.methods
            routes.update((method, route.path) for method in methods)
    pages = in_pages(Path(webserver.relative_path("webapp/build")))
    return Addresses(frozenset(routes), frozenset(), frozenset(pages))


@cache
def langflow(image: str) -> Addresses:
    """Read the addresses of the Langflow in an image."""
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--entrypoint", "python", image, "-"]
    script = Path(__file__).read_text()
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    return Addresses(
        routes=frozenset((method, path) for method, path, _ in told["routes"]),
        writing=frozenset((method, path) for method, path, is_writing in told["routes"] if is_writing),
        pages=frozenset(told["pages"]),
    )


def _tell_langflows() -> None:
    from fastapi.routing import iter_route_contexts  # type: ignore[import-not-found]  # as the next: in the image alone
    from langflow.api.utils.migration_pause import changes_the_instance  # type: ignore[import-not-found]
    from langflow.main import get_static_files_dir, setup_app  # type: ignore[import-not-found]
    from starlette.routing import WebSocketRoute

    def is_writing(dependant: Any) -> bool:
        return any(each.call is changes_the_instance or is_writing(each) for each in dependant.dependencies)

    routes = []
    for route in iter_route_contexts(setup_app().routes):
        if isinstance(route.original_route, WebSocketRoute):
            routes.append((WEB_SOCKET, route.path, True))
        else:
            dependant = getattr(route, "dependant", None)
            # A kind of route without methods is an error here: it would have to be asked in another way.
            routes.extend((method, route.path, bool(dependant and is_writing(dependant))) for method in route.methods)
    print(json.dumps({"routes": routes, "pages": sorted(in_pages(get_static_files_dir()))}))


if __name__ == "__main__":
    _tell_langflows()
