"""`dagma reload`: load the definitions of code locations anew, as *Reload definitions* in the UI does."""

import argparse
import sys

from dagma.execution.webserver import Webserver, WebserverError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `reload`."""
    parser = subparsers.add_parser(
        "reload",
        help="load the definitions of a code location again",
        description="Load the definitions of code locations again. Until they are loaded, the old ones are used.",
    )
    parser.add_argument("locations", nargs="*", default=["project"], metavar="LOCATION", help="which; default: project")
    parser.set_defaults(handler=reload)


def reload(options: argparse.Namespace) -> int:
    """Reload one after the other, and return 0 only if all of them load."""
    webserver = Webserver.from_environment()
    failed = 0
    for location in options.locations:
        try:
            webserver.at(location).reload()
        except WebserverError as error:
            failed += 1
            print(f"dagma reload: {error}", file=sys.stderr)
    return 1 if failed else 0
