"""The Chromium of the browser tests: the distribution's own, since Playwright's downloads one of its own elsewhere."""

import os
import shutil
from collections.abc import Mapping

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # the sandbox can't start as root or in most containers; only the stack's own pages are opened
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class ChromiumMissingError(Exception):
    """There is no browser; the message says where it was looked for, and the fix."""


def find_chromium(environment: Mapping[str, str] = os.environ) -> str:
    """Find the browser, as `find_chromium` of scripts/ensure-chromium.sh does.

    Raises:
        ChromiumMissingError: There is none.
    """
    named = environment.get("DAGMA_CHROMIUM")
    for program in [named] if named else PROGRAMS:
        if path := shutil.which(program, path=environment.get("PATH")):
            return path
    where = f"at DAGMA_CHROMIUM={named}" if named else f"on PATH ({', '.join(PROGRAMS)})"
    raise ChromiumMissingError(
        f"The browser tests found no Chromium {where}. On Debian: apt-get install chromium fonts-inter. Elsewhere set "
        "DAGMA_CHROMIUM to the path of a Chromium or Chrome. The other tiers: pytest --ignore tests/browser."
    )
