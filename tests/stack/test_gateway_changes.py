"""The gateway when what it was given changes: users, passwords, secrets, and the certificate."""

import shutil
import ssl
from pathlib import Path

import pytest
from harness.gateway import HOST, PASSWORD, Gateway, gateway, hash_of
from harness.oidc_provider import certificate_files
from harness.stack import wait_until


def test_who_was_taken_out_of_the_file_is_out(tmp_path: Path) -> None:
    hashed = hash_of(PASSWORD)
    with gateway(tmp_path, GATEWAY_USERS=f"anna:{hashed}\nbob:{hashed}\n", GATEWAY_VIEWERS="*") as mine:
        anna, bob = mine.log_in("anna"), mine.log_in("bob")
        users = tmp_path / "secrets" / "GATEWAY_USERS"
        users.chmod(0o644)
        users.write_text(f"bob:{hashed}\n")
        mine.restart()
        assert anna.get(mine.dagster_url + "/runs").status_code == 403
        assert bob.get(mine.dagster_url + "/runs").status_code == 200


@pytest.mark.parametrize("changed", ["GATEWAY_USERS", "GATEWAY_SESSION_SECRET"])
def test_a_new_password_and_a_new_secret_end_sessions_and_open_new_ones(tmp_path: Path, changed: str) -> None:
    with gateway(tmp_path, GATEWAY_USERS=f"anna:{hash_of(PASSWORD)}\n", GATEWAY_ADMINS="anna") as mine:
        anna = mine.log_in("anna")
        mine.restart()
        assert anna.get(mine.dagster_url + "/runs", allow_redirects=False).status_code == 200
        secret = tmp_path / "secrets" / changed
        secret.chmod(0o644)
        secret.write_text({"GATEWAY_USERS": f"anna:{hash_of('a new one')}\n"}.get(changed, "n" * 64))
        mine.restart()
        assert anna.get(mine.dagster_url + "/runs", allow_redirects=False).status_code == 302
        password = "a new one" if changed == "GATEWAY_USERS" else PASSWORD
        form = {"httpd_username": "anna", "httpd_password": password}
        anna.post(mine.login_url, form, allow_redirects=False)
        assert anna.get(mine.dagster_url + "/runs", allow_redirects=False).status_code == 200


def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    def renew() -> None:
        folder = tmp_path / "theirs"
        shutil.rmtree(folder, ignore_errors=True)
        certificate, key = certificate_files(HOST, own=Path("/nowhere"), kept=folder)
        for source, name in ((certificate, "cert.pem"), (key, "key.pem")):
            (tmp_path / "tls" / name).write_bytes(source.read_bytes())
            (tmp_path / "tls" / name).chmod(0o444)

    def served(gateway: Gateway) -> str:
        return ssl.get_server_certificate((HOST, gateway.ports["GATEWAY_PORT"]))

    (tmp_path / "tls").mkdir()
    renew()
    with gateway(tmp_path, GATEWAY_USERS=f"anna:{hash_of(PASSWORD)}\n", GATEWAY_ADMINS="anna") as mine:
        first, started = served(mine), mine.exec("cat", "/tmp/gateway/httpd.pid")  # noqa: S108
        mine.authority.write_text((tmp_path / "theirs" / "authority.pem").read_text())
        anna = mine.log_in("anna")
        with anna.get(mine.langflow_url + "/stream", stream=True) as answer:
            lines = answer.iter_lines(chunk_size=1)
            assert next(lines) == b"first"
            for each in ("cert.pem", "key.pem"):
                (tmp_path / "tls" / each).unlink()
            renew()
            mine.exec("python3", "/opt/gateway/start.py", "reload")
            wait_until("the new certificate", lambda: served(mine) != first, seconds=20)
            # A request in flight goes on to its end.
            mine.langflow.go_on.set()  # type: ignore[attr-defined]
            assert next(lines) == b"second"
        assert mine.exec("cat", "/tmp/gateway/httpd.pid") == started  # noqa: S108
        assert served(mine) == (tmp_path / "tls" / "cert.pem").read_text()
