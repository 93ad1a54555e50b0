"""Users of Langflow beside the superuser, and flows that they draw."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import requests

from harness.stack import ROOT

FLOWS = ROOT / "tests" / "contract" / "flows"


@dataclass(frozen=True)
class Caller:
    """Someone who calls Langflow's API with a key.

    Args:
        base_url: Langflow's address.
        key: The API key.
    """

    base_url: str
    key: str = field(repr=False)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request with the key."""
        headers = {"x-api-key": self.key} | options.pop("headers", {})
        return requests.request(method, f"{self.base_url}{path}", headers=headers, timeout=120, **options)

    def draw(self, flow: dict[str, Any]) -> str:
        """Save a flow under an id and a name of its own; return the id."""
        flow_id = str(uuid4())
        name = f"drawn-{flow_id[:8]}"
        body = {"name": name, "endpoint_name": name, "data": flow["data"]}
        response = self.request("PUT", f"/api/v1/flows/{flow_id}", json=body)
        assert response.status_code == 201, response.text
        return flow_id

    def run(self, flow_id: str, input_value: str = "hello", **body: Any) -> requests.Response:
        """Run a flow."""
        return self.request("POST", f"/api/v1/run/{flow_id}", json={"input_value": input_value, **body})

    def job(self, flow_id: str, **body: Any) -> requests.Response:
        """Submit a background job."""
        body = {"flow_id": flow_id, "input_value": "hello", "mode": "background", **body}
        return self.request("POST", "/api/v2/workflows", json=body)


@contextmanager
def made_user(superuser: Caller) -> Iterator[Caller]:
    """Make an ordinary user with a key; delete both, and what they drew, at the end."""
    name, password = f"user-{uuid4().hex[:8]}", uuid4().hex
    made = superuser.request("POST", "/api/v1/users/", json={"username": name, "password": password})
    assert made.status_code == 201, made.text
    user_id = made.json()["id"]
    try:
        superuser.request("PATCH", f"/api/v1/users/{user_id}", json={"is_active": True}).raise_for_status()
        login = requests.post(
            f"{superuser.base_url}/api/v1/login", data={"username": name, "password": password}, timeout=30
        )
        login.raise_for_status()
        token = {"Authorization": f"Bearer {login.json()['access_token']}"}
        key = requests.post(f"{superuser.base_url}/api/v1/api_key/", headers=token, json={"name": "test"}, timeout=30)
        key.raise_for_status()
        yield Caller(superuser.base_url, key.json()["api_key"])
    finally:
        superuser.request("DELETE", f"/api/v1/users/{user_id}").raise_for_status()


def flow_file(name: str) -> dict[str, Any]:
    """One of the flows of the contract tests: `echo`, or `behave`, which has a component with code of its own."""
    flow: dict[str, Any] = json.loads((FLOWS / f"{name}.json").read_text())
    return flow


def answer_of(response: requests.Response) -> str:
    """The text that a direct run answered."""
    assert response.status_code == 200, response.text
    return str(response.json()["outputs"][0]["outputs"][0]["results"]["message"]["text"])
