"""`dagma flows`: the files of `flows/`, and their way to and from Langflow."""

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dagma import environment
from dagma.backends.langflow.access_variables import langflow_client
from dagma.flows import sync
from dagma.flows.document import FlowDocument
from dagma.flows.files import read_flows
from dagma.flows.sync import Result
from dagma.flows.validation import clashes, problems
from dagma.langflow import FlowNotFound, LangflowClient, LangflowError, ServerError, Unreachable
from dagma.langflow.errors import CallTimeout, MalformedResponse
from dagma.langflow.known_failures import fix_for
from dagma.langflow.redaction import bare_url
from dagma.langflow.variables_api import VariableType
from dagma.ledger.formats import one_line
from dagma.wording import counted

Handler = Callable[[argparse.Namespace], int]
FOLDER = Path("flows")
REQUEST_SECONDS = 30.0

# Variables of the environment that become global variables of Langflow, by the name and type they have there. From
# Langflow's own environment, a model's name reaches direct runs and is empty in background jobs, and a base URL works
# while the canvas shows no provider.
VARIABLES: tuple[tuple[str, str, VariableType], ...] = (
    ("LLM_BASE_URL", "OPENAI_COMPATIBLE_BASE_URL", "Generic"),
    ("LLM_API_KEY", "OPENAI_COMPATIBLE_API_KEY", "Credential"),
    ("LLM_MODEL", "LLM_MODEL", "Generic"),
)

# What Langflow said, as the cause of an error quotes it.
_QUOTED = re.compile(r"\((.+)\)\.$", re.DOTALL)

_ADVICE = (
    "edited on the server since the last push or pull: `make flows-pull` takes the server's, "
    "`make flows-push FORCE=1` the file's"
)

_OF_ANOTHER_USER = (
    "another user of this Langflow has a flow with this id: give the one in the file another id, such as `uuidgen` "
    "prints, in lower case, or delete that user's"
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `flows` and its commands."""
    parser = subparsers.add_parser(
        "flows",
        help="bring flows from files to Langflow and back",
        description="Bring flows from the files in `flows/` to Langflow and back.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, handler: Handler, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=handler.__doc__)
        added.add_argument("--dir", type=Path, default=FOLDER, help="folder of the files; default: %(default)s")
        added.set_defaults(handler=handler)
        return added

    pushing = command("push", push, "create or update flows on the server from the files")
    pushing.add_argument("--force", action="store_true", help="also replace flows that were edited on the server")
    pushing.add_argument(
        "--wait",
        type=float,
        default=180.0,
        metavar="SECONDS",
        help="how long to wait until Langflow is ready; default: %(default)g",
    )
    pulling = command("pull", pull, "write the server's flows to files")
    pulling.add_argument("names", nargs="*", metavar="NAME", help="id, endpoint name or name; default: all flows")
    command("validate", validate, "check the files, without a server")


def push(options: argparse.Namespace) -> int:
    """Create or update flows by their id; one that was edited on the server since the last push stays as it is."""
    files = read_flows(options.dir)
    if _report_problems(files):
        return 1
    with langflow_client(REQUEST_SECONDS) as client:
        _wait_until_ready(client, options.wait)
        failed = _set_variables(client)
        for path, flow in files.items():
            try:
                result = sync.push(client, flow, force=options.force)
            except FlowNotFound:  # Langflow's word for it, as for an id that nobody has
                failed += 1
                _line("FAILED", path.stem, _OF_ANOTHER_USER)
            except LangflowError as error:
                failed += 1
                _line("FAILED", path.stem, str(error))
            else:
                _line(result.value, path.stem, _ADVICE if result is Result.KEPT else "")
    return 1 if failed else 0


def pull(options: argparse.Namespace) -> int:
    """Write flows to files named by their endpoint names; secrets are left out."""
    failed = 0
    with langflow_client(REQUEST_SECONDS) as client:
        for name, done in sync.pull(client, options.dir, options.names):
            failed += done.path is None
            word = "REFUSED" if done.path is None else "written" if done.changed else "unchanged"
            _line(word, name, done.problem or str(done.path))
    return 1 if failed else 0


def validate(options: argparse.Namespace) -> int:
    """Check that ids and names are valid and unique, that edges lead somewhere, and that no file holds a secret."""
    files = read_flows(options.dir)
    if _report_problems(files):
        return 1
    print(f"{counted(len(files), 'flows')} checked: nothing is wrong")
    return 0


def _wait_until_ready(client: LangflowClient, seconds: float) -> None:
    """Wait until Langflow and its database answer; it takes up to a minute to start."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.health_check()
        except (CallTimeout, MalformedResponse, ServerError, Unreachable):
            if time.monotonic() >= deadline:
                raise
            time.sleep(1.0)
        else:
            return


def _set_variables(client: LangflowClient) -> int:
    """Set the global variables of the LLM, as far as the environment has them; return how many failed."""
    failed = 0
    for name, variable, kind in VARIABLES:
        if value := environment.text(name):
            try:
                client.set_variable(variable, value, kind=kind)
            except LangflowError as error:
                failed += 1
                _line("FAILED", name, _refused(error))
    return failed


def _refused(error: LangflowError) -> str:
    """Say why a variable of the LLM was not taken, by the names of `.env`: Langflow tries a key before it keeps it."""
    fix = fix_for(error.cause)
    said = _QUOTED.search(error.cause)
    if fix is None or said is None:
        return str(error)
    cause = said[1].split(". ")[0].removesuffix(".")
    where = environment.text("LLM_BASE_URL")
    tried = f", which tried it at {bare_url(where)}" if where else ""
    return f"was not taken by Langflow{tried}: {cause}. {fix}"


def _report_problems(files: dict[Path, FlowDocument]) -> bool:
    found = [f"{path}: {problem}" for path, flow in files.items() for problem in problems(flow)]
    found += clashes({str(path): flow for path, flow in files.items()})
    for line in found:
        print(line, file=sys.stderr)
    return bool(found)


def _line(word: str, name: str, remark: str) -> None:
    print(f"{word:<10} {one_line(name):<20} {remark}".rstrip(), flush=True)
