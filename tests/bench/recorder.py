"""A relay in front of Langflow, which prints when each run's request arrives: {"at": seconds, "input": ...}."""

import json
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

LANGFLOW = "http://langflow:7860"
PORT = 7860
# What belongs to one connection, and what `requests` has undone.
HOP_BY_HOP = {"host", "connection", "content-length", "transfer-encoding", "content-encoding", "accept-encoding"}


class Relay(BaseHTTPRequestHandler):
    """Passes requests on and responses back."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_any(self) -> None:
        at = time.time()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == "POST" and b'"input_value"' in body:
            print(json.dumps({"at": at, "input": json.loads(body)["input_value"]}), flush=True)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        try:
            answer = requests.request(self.command, LANGFLOW + self.path, data=body, headers=headers, timeout=300)
        except requests.ConnectionError:
            self.send_error(HTTPStatus.BAD_GATEWAY)
            return
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_any  # noqa: N815  # the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing but the above."""


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", PORT), Relay).serve_forever()
