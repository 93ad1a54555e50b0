"""The gateway's health check: people's port wants a login, and both UIs answer. It exits with 1 and a cause."""

import http.client
import json
import os
import socket
import ssl
import sys
import urllib.request

SECONDS = 8


def status_without_login() -> int:
    """Ask for a page of Dagster by people's port, as nobody."""
    host = (os.environ.get("GATEWAY_HOST") or "localhost").lower()
    listen = os.environ.get("GATEWAY_LISTEN") or "gateway-public"
    any_certificate = ssl.create_default_context()
    any_certificate.check_hostname = False
    any_certificate.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host)
    plain = socket.create_connection((listen, 8443), timeout=SECONDS)
    with any_certificate.wrap_socket(plain, server_hostname=host) as connection.sock:
        connection.request("GET", "/server_info", headers={"Accept": "application/json", "Sec-Fetch-Mode": "cors"})
        return connection.getresponse().status


def problem() -> str | None:
    """Say what does not work; None where all does."""
    if (status := status_without_login()) != 401:
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
