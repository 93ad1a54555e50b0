"""docker/langflow/python/dagma_gateway_login.py: whom Langflow takes the gateway's header for."""

import asyncio
import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from unit.scripts.compose import ROOT

SECRET = "s" * 64
SETTINGS = SimpleNamespace(EXTERNAL_AUTH_PROVIDER="dagma-gateway", SUPERUSER="admin")


class InvalidTokenError(Exception):
    """Langflow's."""


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, beside a Langflow that has only its error."""
    errors = ModuleType("langflow.services.auth.exceptions")
    errors.InvalidTokenError = InvalidTokenError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "langflow.services.auth.exceptions", errors)
    monkeypatch.setenv("LANGFLOW_GATEWAY_SECRET", SECRET)
    path = ROOT / "docker" / "langflow" / "python" / "dagma_gateway_login.py"
    spec = importlib.util.spec_from_file_location("dagma_gateway_login", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    linked: list[tuple[str, str]] = []

    async def link(provider: str, username: str) -> None:
        linked.append((provider, username))

    monkeypatch.setattr(module, "_link_superuser", link)
    module.linked = linked  # type: ignore[attr-defined]
    return module


def claims(module: Any, header: str) -> Any:
    return asyncio.run(module.resolve(header, SETTINGS))


def test_somebody_gets_an_account_of_their_own(login: Any) -> None:
    assert claims(login, f"{SECRET} editor anna@example.com") == {
        "sub": "user:anna@example.com",
        "preferred_username": "anna@example.com",
        "email": "anna@example.com",
        "dagma_role": "editor",
    }
    assert login.linked == []


def test_admins_share_the_superusers_account(login: Any) -> None:
    for admin in ("anna", "bob"):
        assert claims(login, f"{SECRET} admin {admin}")["sub"] == login.SUPERUSER
    assert login.linked == [("dagma-gateway", "admin")] * 2


def test_nobody_gets_the_superusers_account_by_their_name(login: Any) -> None:
    assert claims(login, f"{SECRET} viewer {login.SUPERUSER}")["sub"] != login.SUPERUSER


@pytest.mark.parametrize(
    "header", ["", "x", f"{'t' * 64} admin anna", f"{SECRET}", f"{SECRET} root anna", f"{SECRET} admin"]
)
def test_what_is_not_the_gateways_is_refused(login: Any, header: str) -> None:
    with pytest.raises(InvalidTokenError):
        claims(login, header)


def test_without_a_secret_nobody_is_let_in(login: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANGFLOW_GATEWAY_SECRET")
    with pytest.raises(InvalidTokenError):
        claims(login, " admin anna")
