"""The gateway's container alone, before UIs that only say what reached them; and an issuer of tokens."""

import base64
import contextlib
import hashlib
import json
import secrets
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from testcontainers.core.container import DockerContainer

from harness.oidc_provider import CLIENT_ID, OidcProvider
from harness.stack import IMAGE_TAG, PROJECT, docker, wait_until

IMAGE = f"dagma/gateway:{IMAGE_TAG}"
HOST = "localhost"
AUDIENCE = "dagma"
PASSWORD = "correct horse"
COOKIE = "__Host-dagma_session"
MACHINES = {
    "GATEWAY_JWT_AUDIENCE": AUDIENCE,
    "GATEWAY_JWT_ISSUER": "ISSUER_URL",
    "GATEWAY_JWT_JWKS_URL": "ISSUER_URL",
}
"""Settings by which the gateway takes tokens of the `Issuer` here."""
LOGIN_AT_PROVIDER = {"GATEWAY_OIDC_ISSUER": "PROVIDER_URL", "GATEWAY_OIDC_CLIENT_ID": CLIENT_ID}
"""Settings by which people log in at the `OidcProvider`."""
SECRETS = {
    "DAGMA_GATEWAY_SECRET": secrets.token_hex(24),
    "LANGFLOW_GATEWAY_SECRET": secrets.token_hex(32),
    "GATEWAY_SESSION_SECRET": secrets.token_hex(32),
    "GATEWAY_OIDC_CLIENT_SECRET": secrets.token_hex(16),
    "GATEWAY_USERS": "",
}


class Quiet(BaseHTTPRequestHandler):
    """A handler without a log, which keeps connections."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two packets: the second would wait 40 ms until the first is acknowledged.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextlib.contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[int]:
    """Serve in a thread; yield the port."""
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Ui(ThreadingHTTPServer):
    """A UI that answers with what it was asked. `asked` has it too: method and path, and the headers' pairs."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []
        self.is_broken = False
        super().__init__(("0.0.0.0", 0), UiHandler)


class UiHandler(Quiet):
    server: Ui

    def do_any(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._echo()
            return
        if self.headers.get("Transfer-Encoding") == "chunked":
            size = 0
            while length := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
        else:
            size = left = int(self.headers.get("Content-Length") or 0)
            while left:
                left -= len(self.rfile.read(min(left, 1 << 20)))
        state = "error" if self.server.is_broken else "ok"
        health = {"/server_info": {"dagster_version": "1"}, "/health_check": {"status": state, "db": state}}
        if self.path in health:
            self.answer(200, json.dumps(health[self.path]).encode())
            return
        self.server.asked.append((f"{self.command} {self.path}", self.headers.items()))
        if self.path.startswith("/stream"):
            self._stream()
            return
        told = {"asked": f"{self.command} {self.path}", "headers": self.headers.items(), "size": size}
        self.answer(200, json.dumps(told).encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_any  # noqa: N815

    def _stream(self) -> None:
        """Send a word, and the next when told to: a proxy that waits for the end waits for ever."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        go_on = self.server.go_on = threading.Event()  # type: ignore[attr-defined]
        self.wfile.write(b"first\n")
        self.wfile.flush()
        go_on.wait(30)
        self.wfile.write(b"second\n")
        self.close_connection = True

    def _echo(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accepted = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()  # noqa: S324  # as RFC 6455 wants it
        self.server.asked.append((f"{self.command} {self.path}", self.headers.items()))
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accepted)):
            self.send_header(name, value)
        self.end_headers()
        while data := self.connection.recv(1000):
            self.connection.sendall(data)
        self.close_connection = True


class Issuer(ThreadingHTTPServer):
    """An issuer of machines' tokens, also of bad ones, which serves its keys; it has the provider's certificate."""

    def __init__(self, provider: OidcProvider) -> None:
        super().__init__(("0.0.0.0", 0), IssuerHandler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(provider.certificate, provider.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://{provider.address}:{self.server_address[1]}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def jwks(self) -> dict[str, Any]:
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [jwk | {"kid": "one", "use": "sig", "alg": "RS256"}]}

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "iat": now, "exp": now + 300, "sub": "robot", "groups": ["ops"]}
        return {name: value for name, value in (claims | changed).items() if value is not None}

    def token(self, **changed: Any) -> str:
        return jwt.encode(self.claims(**changed), self.key, algorithm="RS256", headers={"kid": "one"})


class IssuerHandler(Quiet):
    server: Issuer

    def do_GET(self) -> None:
        self.answer(200, json.dumps(self.server.jwks).encode())


@dataclass
class Gateway:
    """A running gateway, and what is around it."""

    container: DockerContainer
    dagster: Ui
    langflow: Ui
    issuer: Issuer
    provider: OidcProvider
    ports: dict[str, int]
    folder: Path
    host: str = HOST
    authority: Path = field(init=False)
    LISTENING: ClassVar = {"GATEWAY_PORT": 8443, "GATEWAY_LANGFLOW_PORT": 8444, "GATEWAY_HTTP_PORT": 8080}

    @property
    def dagster_url(self) -> str:
        return f"https://{HOST}:{self.ports['GATEWAY_PORT']}"

    @property
    def langflow_url(self) -> str:
        return f"https://{HOST}:{self.ports['GATEWAY_LANGFLOW_PORT']}"

    @property
    def login_url(self) -> str:
        """The users file's login: its page, and where its form is sent."""
        return f"{self.dagster_url}/gateway/login.html"

    @property
    def address(self) -> str:
        """The container's own address, which other containers reach."""
        container = self.container.get_wrapped_container()
        container.reload()
        address: str = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        return address

    def exec(self, *command: str) -> str:
        done = self.container.get_wrapped_container().exec_run(list(command))
        assert done.exit_code == 0, done.output.decode()
        output: str = done.output.decode()
        return output

    def log(self) -> str:
        return "".join(part.decode() for part in self.container.get_logs())

    def restart(self) -> None:
        self.container.get_wrapped_container().restart()
        self.wait()

    def wait(self) -> None:
        any_certificate = ssl.create_default_context()  # its authority is asked for later
        any_certificate.check_hostname = False
        any_certificate.verify_mode = ssl.CERT_NONE

        def answers() -> bool:
            with contextlib.suppress(OSError), self.tls(context=any_certificate):
                return True
            container = self.container.get_wrapped_container()
            container.reload()
            assert container.status in ("running", "created"), self.log()
            return False

        wait_until("the gateway", answers, seconds=30, every=0.1)

    def browser(self) -> requests.Session:
        """A browser without a login, which follows no redirect by itself."""
        session = requests.Session()
        session.verify = str(self.authority)
        session.headers.update({"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"})
        session.trust_env = False
        session.max_redirects = 8
        return session

    def log_in(self, name: str = "anna", password: str = PASSWORD) -> requests.Session:
        """A browser of somebody in the users file."""
        session = self.browser()
        form = {"httpd_username": name, "httpd_password": password}
        answer = session.post(self.login_url, form, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        return session

    def ask_as(self, token: str, path: str = "/graphql") -> requests.Response:
        """Ask for a path of Dagster as a machine with this token."""
        return requests.get(self.dagster_url + path, headers=bearer(token), verify=str(self.authority), timeout=20)

    def tls(self, port: str = "GATEWAY_PORT", context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A connection to write what no client library would."""
        context = context or ssl.create_default_context(cafile=str(self.authority))
        plain = socket.create_connection((HOST, self.ports[port]), timeout=20)
        return context.wrap_socket(plain, server_hostname=self.host)


def free_ports() -> dict[str, int]:
    with contextlib.ExitStack() as stack:
        sockets = {name: stack.enter_context(socket.socket()) for name in Gateway.LISTENING}
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in sockets.items()}


def hash_of(password: str) -> str:
    command = ("run", "--rm", "--network", "none", "--entrypoint", "htpasswd", IMAGE, "-nbB", "-C", "10", "x")
    return docker(*command, password).strip()[2:]


@contextlib.contextmanager
def gateway(folder: Path, **settings: str) -> Iterator[Gateway]:
    """Start a gateway with these settings; the names of secrets and GATEWAY_USERS are files.

    It is the container of docker-compose.gateway.yml on a network of its own, beside UIs in this process; and beside a
    login provider, if the settings name it.
    """
    folder.chmod(0o755)
    for each in ("secrets", "tls"):
        (folder / each).mkdir(exist_ok=True)
    for name, value in SECRETS.items():
        (folder / "secrets" / name).write_text(settings.pop(name, value))
        (folder / "secrets" / name).chmod(0o444)
    volume, ports = f"{PROJECT}-gateway-{secrets.token_hex(4)}", free_ports()
    origin = f"https://{HOST}:{ports['GATEWAY_PORT']}"
    provider = OidcProvider(folder / "provider", SECRETS["GATEWAY_OIDC_CLIENT_SECRET"], origin)
    dagster, langflow, issuer = Ui(), Ui(), Issuer(provider)
    with contextlib.ExitStack() as beside:
        dagster_port, langflow_port, _ = (beside.enter_context(serving(each)) for each in (dagster, langflow, issuer))
        if LOGIN_AT_PROVIDER.items() <= settings.items():
            settings["GATEWAY_OIDC_ISSUER"] = beside.enter_context(provider).url
        container = DockerContainer(IMAGE).with_name(volume)
        given = {
            "GATEWAY_DAGSTER_UPSTREAM": f"http://{provider.address}:{dagster_port}",
            "GATEWAY_LANGFLOW_UPSTREAM": f"http://{provider.address}:{langflow_port}",
            "GATEWAY_LISTEN": "0.0.0.0",
            **{name: str(port) for name, port in ports.items()},
            **{name: value.replace("ISSUER_URL", issuer.url) for name, value in settings.items()},
        }
        for name, value in given.items():
            container.with_env(name, value)
        for source, target in (("secrets", "/run/secrets"), ("tls", "/run/gateway/tls")):
            container.with_volume_mapping(str(folder / source), target)
        container.with_volume_mapping(str(provider.authority), "/run/dagma/ca-bundle.pem")
        container.with_volume_mapping(volume, "/var/lib/gateway", "rw")
        container.with_tmpfs_mount("/tmp")  # noqa: S108
        container.with_kwargs(read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges:true"], init=True)
        container.ports = {Gateway.LISTENING[name]: ("127.0.0.1", port) for name, port in ports.items()}
        try:
            with container:
                host = given.get("GATEWAY_HOST", HOST)
                running = Gateway(container, dagster, langflow, issuer, provider, ports, folder, host)
                running.wait()
                running.authority = folder / "authority.pem"
                running.authority.write_text(running.exec("sh", "-c", "cat /var/lib/gateway/authority.pem || true"))
                yield running
        finally:
            subprocess.run(["docker", "volume", "rm", "--force", volume], check=False, capture_output=True)


def headers_of(answer: requests.Response, prefix: str) -> list[tuple[str, str]]:
    """The headers with this prefix that reached the UI, in lower case."""
    pairs = answer.json()["headers"]
    return sorted((name.lower(), value) for name, value in pairs if name.lower().startswith(prefix))


def bearer(token: str) -> dict[str, str]:
    """What a program sends with a token."""
    return {"Authorization": f"Bearer {token}", "Accept": "application/json", "Sec-Fetch-Mode": "cors"}
