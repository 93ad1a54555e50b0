"""The gateway's health check: people's port wants a login, and both UIs answer. It exits with 1 and a cause."""

import http.client
import json
import os
import ssl
import sys
import urllib.request

SECONDS = 8


def problem() -> str | None:
    """Say what does not work; None where all does."""
    without_check = ssl._create_unverified_context()  # noqa: S323  # is it open? Whose certificate it is, browsers ask
    listen = os.environ.get("GATEWAY_LISTEN") or "gateway-public"
    connection = http.client.HTTPSConnection(listen, 8443, context=without_check, timeout=SECONDS)
    host = (os.environ.get("GATEWAY_HOST") or "localhost").lower()
    connection.request(
        "GET", "/server_info", headers={"Host": host, "Sec-Fetch-Mode": "cors", "Accept": "application/json"}
    )
    if (status := connection.getresponse().status) != 401:
        return f"without a login it answers {status}"
    with urllib.request.urlopen("http://127.0.0.1:8081/dagster", timeout=SECONDS) as answer:
        if "dagster_version" not in json.load(answer):
            return "Dagster does not answer"
    with urllib.request.urlopen("http://127.0.0.1:8081/langflow", timeout=SECONDS) as answer:
        if json.load(answer).get("db") != "ok":
            return "Langflow does not answer"
    return None


if __name__ == "__main__":
    try:
        sys.exit(problem())
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.exit(f"{type(error).__name__}: {error}")
