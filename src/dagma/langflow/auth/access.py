"""Who calls, and whom to trust: the settings of a connection through a gateway, as plain values."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from ssl import SSLContext
from typing import Any, Literal

from dagma.langflow.auth.client_credentials import ClientCredentials, basic_auth
from dagma.langflow.http.connection_settings import checked_base_url, header_value
from dagma.langflow.http.tls import tls_context

# RFC 9110, 5.6.2.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _setting(
    description: str, variable: str, holds: Literal["key", "private", "file", "switch"], *, default: bool | None = None
) -> Any:
    """Describe a setting: what it is, the variable that it is read from, and what it holds.

    A key proves identity. What is private is part of a login, or may be secret in some places. Neither is ever shown.
    """
    metadata = {"description": description, "variable": variable, "holds": holds}
    return field(default=default, repr=holds not in ("key", "private"), metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Access:
    """Credentials and TLS towards Langflow and the gateway in front of it. Its `repr` shows no secret.

    This is the one list of these settings. `LangflowRestResource` and the environment take what they know from it.

    Raises:
        ValueError: They can't be used together, or one can't be used at all; the message names fields and shows no
            secret.
    """

    api_key: str | None = _setting("Langflow's API key, sent as header x-api-key.", "LANGFLOW_API_KEY", "key")
    bearer_token: str | None = _setting(
        'A JWT or another bearer token for a gateway, without "Bearer".', "LANGFLOW_BEARER_TOKEN", "key"
    )
    oauth_token_url: str | None = _setting(
        "Token endpoint that gives the gateway's bearer token for OAuth2 client credentials.",
        "LANGFLOW_OAUTH_TOKEN_URL",
        "private",
    )
    oauth_client_id: str | None = _setting(
        "The client's id at the token endpoint.", "LANGFLOW_OAUTH_CLIENT_ID", "private"
    )
    oauth_client_secret: str | None = _setting(
        "The client's secret at the token endpoint.", "LANGFLOW_OAUTH_CLIENT_SECRET", "key"
    )
    oauth_scope: str | None = _setting("Scopes of the token, separated by spaces.", "LANGFLOW_OAUTH_SCOPE", "private")
    oauth_audience: str | None = _setting("Audience of the token.", "LANGFLOW_OAUTH_AUDIENCE", "private")
    basic_user: str | None = _setting("User of a gateway with basic auth.", "LANGFLOW_BASIC_USER", "private")
    basic_password: str | None = _setting("Password of that user.", "LANGFLOW_BASIC_PASSWORD", "key")
    headers: str | None = _setting(
        'More headers for a gateway, as a JSON object: {"X-Gateway-Key": "..."}.', "LANGFLOW_HEADERS", "key"
    )
    verify_tls: bool = _setting("Check the server's certificate.", "LANGFLOW_VERIFY_TLS", "switch", default=True)
    ca_bundle: str | Path | None = _setting(
        "PEM file of the authorities that sign the server's certificate, instead of the usual.",
        "LANGFLOW_CA_BUNDLE",
        "file",
    )
    client_cert: str | Path | None = _setting(
        "PEM file of the client's certificate, for mutual TLS; may hold the key as well.",
        "LANGFLOW_CLIENT_CERT",
        "file",
    )
    client_key: str | Path | None = _setting(
        "PEM file of the client's private key, without a passphrase.", "LANGFLOW_CLIENT_KEY", "file"
    )

    def __post_init__(self) -> None:
        oauth = self._all_or_none("oauth_token_url", "oauth_client_id", "oauth_client_secret")
        if (self.oauth_scope or self.oauth_audience) and not oauth:
            raise ValueError("oauth_scope and oauth_audience need oauth_token_url. Set it, too.")
        if self.oauth_token_url:
            checked_base_url("oauth_token_url", self.oauth_token_url, login="the client's id and secret are sent there")
        basic = self._all_or_none("basic_user", "basic_password")
        if (self.bearer_token or "").lower().startswith("bearer "):
            raise ValueError('bearer_token is the token alone: leave out "Bearer", which is written before it.')
        if ":" in (self.basic_user or ""):
            raise ValueError("basic_user can have no colon, which separates it from the password.")
        chosen = [
            name
            for name, is_set in (("bearer_token", self.bearer_token), ("oauth_token_url", oauth), ("basic_user", basic))
            if is_set
        ]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} both write the header Authorization. Set one of them.")
        # Made here, and once, so that what can't be used is told before the first call.
        _ = self.token, self.sent_headers
        if self.ca_bundle or self.client_cert or self.client_key:
            _ = self.tls

    @cached_property
    def _further_headers(self) -> dict[str, str]:
        try:
            headers = json.loads(self.headers or "{}")
        except (ValueError, TypeError):
            headers = None
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            raise ValueError('headers must be a JSON object of texts, such as \'{"X-Gateway-Key": "..."}\'.')
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError("A name in headers must be a header's name alone, without spaces or a colon.")
            header_value(f"The value of {name!r} in headers", value)
        return headers

    @cached_property
    def sent_headers(self) -> Mapping[str, str]:
        """The headers of every request, but for a token that is fetched."""
        headers = dict(self._further_headers)
        if self.bearer_token:
            headers["Authorization"] = f"Bearer {header_value('bearer_token', self.bearer_token)}"
        if self.basic_user and self.basic_password:
            headers["Authorization"] = basic_auth(self.basic_user, self.basic_password)
        if self.api_key:
            headers["x-api-key"] = header_value("api_key", self.api_key)
        return headers

    @property
    def secrets(self) -> Sequence[str]:
        """What must never be shown."""
        login = self.basic_password and f"{self.basic_user}:{self.basic_password}"
        keys = (self.api_key, self.bearer_token, self.basic_password, login)
        values = self._further_headers.values()
        # Of an Authorization, what follows its scheme is as secret as the whole.
        return [*values, *(value.partition(" ")[2] for value in values), *filter(None, keys)]

    @cached_property
    def tls(self) -> SSLContext:
        """Trust and identity, towards the token endpoint as well."""
        return tls_context(verify=self.verify_tls, ca_bundle=self.ca_bundle, cert=self.client_cert, key=self.client_key)

    @cached_property
    def token(self) -> ClientCredentials | None:
        """The bearer token that is fetched, where one is."""
        if not (self.oauth_token_url and self.oauth_client_id and self.oauth_client_secret):
            return None
        return ClientCredentials(
            self.oauth_token_url,
            self.oauth_client_id,
            self.oauth_client_secret,
            scope=self.oauth_scope,
            audience=self.oauth_audience,
            tls=lambda: self.tls,
        )

    def _all_or_none(self, *names: str) -> bool:
        missing = [name for name in names if not getattr(self, name)]
        if missing and len(missing) < len(names):
            present = [name for name in names if name not in missing]
            raise ValueError(f"{' and '.join(present)} is set without {' and '.join(missing)}. Set all or none.")
        return not missing
