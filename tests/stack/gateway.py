"""A gateway in front of Langflow: mutual TLS, a fetched bearer token and a header of its own, then on to Langflow.

It prints a line for each request that it lets through or refuses, and no secret. Settings come from the environment:
`CLIENT` and `SECRET` of the token endpoint, `HEADER`, the value of X-Gateway-Key.
"""

import base64
import http.client
import json
import os
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8443
LANGFLOW = ("langflow", 7860)
TLS = Path("/run/dagma/tls")
TOKEN = "token-of-the-gateway"  # of the tests
NOT_PASSED_ON = {"host", "connection", "authorization", "x-gateway-key", "transfer-encoding"}


class Gateway(BaseHTTPRequestHandler):
    """Gives tokens, and passes on what carries one."""

    protocol_version = "HTTP/1.1"

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/token":
            self._give_token()
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, b'{"detail": "no token"}')
        elif self.headers.get("X-Gateway-Key") != os.environ["HEADER"]:
            self._answer(403, b'{"detail": "no key"}')
        else:
            self._pass_on(body)

    do_GET = do_POST = do_PATCH = do_PUT = do_any  # noqa: N815  # the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing but the below."""

    def _give_token(self) -> None:
        expected = base64.b64encode(f"{os.environ['CLIENT']}:{os.environ['SECRET']}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {expected}":
            self._answer(200, json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300}).encode())
        else:
            self._answer(401, b'{"error": "invalid_client"}')

    def _pass_on(self, body: bytes) -> None:
        langflow = http.client.HTTPConnection(*LANGFLOW, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED_ON}
        langflow.request(self.command, self.path, body, headers)
        answer = langflow.getresponse()
        self._answer(answer.status, answer.read(), answer.getheader("Content-Type") or "application/json")
        langflow.close()

    def _answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        print(f"{self.command} {self.path.partition('?')[0]} {status}", flush=True)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(TLS / "authority.pem")
    with ThreadingHTTPServer(("0.0.0.0", PORT), Gateway) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.serve_forever()
