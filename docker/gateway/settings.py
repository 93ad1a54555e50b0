"""The gateway's settings: read from the environment, checked, and handed to httpd.conf as definitions.

httpd.conf is fixed and names what differs as `${NAME}`. `definitions` computes these names, and the switches
(`OIDC`, `USERS`, `JWT`, `ACME`, `HSTS`) that turn its parts on.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

ROLES = ("viewer", "editor", "admin")
"""From the least to the most: who has several has the last one."""

EVERYONE = "*"
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
GROUP_SEPARATOR = "\x1f"
"""Between the values of a claim: a sign that no group's name has."""

# Browsers take what ends with a number for an address.
HOST = re.compile(r"(?=.{1,253}\Z)(?!(.*\.)?[0-9]+\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
CLAIM = re.compile(r"[A-Za-z0-9_-]+")
SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
CLIENT_ID = re.compile(r"[^\s\"\\$%]+")
SECRET = re.compile(r"[A-Za-z0-9_-]{32,}")
MAIL_ADDRESS = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")
USER = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
MIN_BCRYPT_COST = 10


class SettingError(Exception):
    """Settings that can't be used. The message has one line for each: the variable, the cause, and the fix."""


@dataclass(frozen=True)
class Settings:
    """Settings as they were given.

    Args:
        variables: The environment.
        secrets: Folder with a file for each secret.
    """

    variables: Mapping[str, str]
    secrets: Path
    _problems: list[str] = field(default_factory=list)

    def definitions(self) -> dict[str, str]:
        """Compute what httpd.conf names. A switch has an empty value.

        Raises:
            SettingError: Settings can't be used.
        """
        values = self._addresses() | self._sessions() | self._login() | self._tokens() | self._roles()
        values |= {"GATEWAY_SECRET": self._secret("DAGMA_GATEWAY_SECRET")}
        values |= {"LANGFLOW_SECRET": self._secret("LANGFLOW_GATEWAY_SECRET")}
        values |= {"SESSION_SECRET": self._secret("GATEWAY_SESSION_SECRET")}
        if self._problems:
            raise SettingError("\n".join(dict.fromkeys(self._problems)))
        return values

    @property
    def host(self) -> str:
        """The name by which people open both UIs."""
        return self._text("GATEWAY_HOST", "localhost").lower()

    @cached_property
    def users(self) -> dict[str, str]:
        """The names in the users file, with their passwords' hashes; each line of it is checked."""
        users: dict[str, str] = {}
        path = self.secrets / "GATEWAY_USERS"
        lines = path.read_text().splitlines() if path.is_file() else []
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, password = line.partition(":")
            bcrypt = BCRYPT.fullmatch(password)
            if not USER.fullmatch(name):
                self._refuse("GATEWAY_USERS_FILE", f"line {number} has no usable name", "use letters, digits and ._@+-")
            elif not bcrypt or int(bcrypt[1]) < MIN_BCRYPT_COST:
                self._refuse(
                    "GATEWAY_USERS_FILE",
                    f"the password of {name} is no bcrypt hash of cost {MIN_BCRYPT_COST} or more",
                    f"make gateway-user NAME={name}",
                )
            elif name in users:
                self._refuse("GATEWAY_USERS_FILE", f"{name} is there twice", "remove one of the two lines")
            users[name] = password
        return users

    def _addresses(self) -> dict[str, str]:
        host = self.host
        if not (HOST.fullmatch(host) or _is_ipv4(host)):
            self._refuse(
                "GATEWAY_HOST", f"{host!r} is no host name", "set the name that people type, such as dagma.example.com"
            )
        ports = {
            "PORT": self._port("GATEWAY_PORT", "8443"),
            "LANGFLOW_PORT": self._port("GATEWAY_LANGFLOW_PORT", "8444"),
            "HTTP_PORT": self._port("GATEWAY_HTTP_PORT", "8080"),
        }
        if len(set(ports.values())) < len(ports):
            self._refuse("GATEWAY_PORT", "two of the gateway's three ports are the same", "give each its own")
        values = {
            "HOST": host,
            **ports,
            "DAGSTER_ORIGIN": _origin(host, ports["PORT"]),
            "LANGFLOW_ORIGIN": _origin(host, ports["LANGFLOW_PORT"]),
        }
        # A dot of a host's name would be any sign in a regular expression.
        values |= {
            f"{name}_PATTERN": values[name].replace(".", "[.]") for name in ("DAGSTER_ORIGIN", "LANGFLOW_ORIGIN")
        }
        # A browser would ask all servers of this machine, on every port, by https from then on.
        if host != "localhost" and not _is_ipv4(host):
            values["HSTS"] = ""
        return values | self._authority(host)

    def _authority(self, host: str) -> dict[str, str]:
        contact, directory = self._text("GATEWAY_ACME"), self._text("GATEWAY_ACME_DIRECTORY")
        if not contact and not directory:
            return {}
        if not MAIL_ADDRESS.fullmatch(contact):
            self._refuse(
                "GATEWAY_ACME", f"{contact!r} is no mail address", "set the address that the authority may write to"
            )
        if directory:
            self._require_https("GATEWAY_ACME_DIRECTORY", directory, "https://ca.example.com/acme/acme/directory")
            if _is_ipv4(host):
                self._refuse("GATEWAY_ACME", f"it fetches no certificate for the address {host}", "set a name")
        elif "." not in host or _is_ipv4(host):
            self._refuse(
                "GATEWAY_ACME",
                f"no public authority signs {host!r}",
                "set GATEWAY_HOST to a public name, or GATEWAY_ACME_DIRECTORY to an authority of your own",
            )
        directory = directory or LETS_ENCRYPT
        # A folder for each, or another authority would sign first when the certificate of the last one ends.
        store = re.sub("[^a-z0-9]+", "-", directory.lower())
        return {"ACME": "", "ACME_CONTACT": contact, "ACME_DIRECTORY": directory, "ACME_STORE": store}

    def _sessions(self) -> dict[str, str]:
        idle = self._number("GATEWAY_SESSION_IDLE_MINUTES", "60")
        total = self._number("GATEWAY_SESSION_HOURS", "10")
        if idle > total * 60:
            self._refuse("GATEWAY_SESSION_IDLE_MINUTES", "it is longer than GATEWAY_SESSION_HOURS", "shorten it")
        return {"IDLE_SECONDS": str(idle * 60), "TOTAL_SECONDS": str(total * 3600)}

    def _login(self) -> dict[str, str]:
        issuer = self._text("GATEWAY_OIDC_ISSUER").rstrip("/")
        if not issuer:
            if not self.users:
                self._refuse(
                    "GATEWAY_OIDC_ISSUER", "nobody can log in", "set it, or add a user: make gateway-user NAME=you"
                )
            return {"USERS": ""}
        if self.users:
            self._refuse(
                "GATEWAY_USERS_FILE",
                "it has users, and GATEWAY_OIDC_ISSUER is set too",
                "delete that file, or empty GATEWAY_OIDC_ISSUER",
            )
        self._require_https("GATEWAY_OIDC_ISSUER", issuer)
        client = self._text("GATEWAY_OIDC_CLIENT_ID")
        if not CLIENT_ID.fullmatch(client):
            self._refuse("GATEWAY_OIDC_CLIENT_ID", f"{client!r} is no client id", "set the id that the provider shows")
        scopes = self._text("GATEWAY_OIDC_SCOPES", "openid email profile")
        if not SCOPES.fullmatch(scopes) or "openid" not in scopes.split():
            self._refuse("GATEWAY_OIDC_SCOPES", f"{scopes!r} lacks openid", "such as: openid email profile")
        secret = self.secrets / "GATEWAY_OIDC_CLIENT_SECRET"
        if not (secret.is_file() and secret.read_text().strip()):
            self._refuse("GATEWAY_OIDC_CLIENT_SECRET", "it is empty", "set the secret that the provider shows")
        return {"OIDC": "", "OIDC_ISSUER": issuer, "OIDC_CLIENT_ID": client, "OIDC_SCOPES": scopes}

    def _tokens(self) -> dict[str, str]:
        audience = self._text("GATEWAY_JWT_AUDIENCE")
        if not audience:
            return {}
        if not CLIENT_ID.fullmatch(audience):
            self._refuse("GATEWAY_JWT_AUDIENCE", f"{audience!r} is no audience", "set the `aud` of your tokens")
        issuer = self._text("GATEWAY_JWT_ISSUER", self._text("GATEWAY_OIDC_ISSUER"))
        self._require_https("GATEWAY_JWT_ISSUER", issuer)
        keys = self._text("GATEWAY_JWT_JWKS_URL")
        self._require_https("GATEWAY_JWT_JWKS_URL", keys)
        return {"JWT": "", "JWT_AUDIENCE": audience, "JWT_ISSUER": issuer, "JWT_JWKS_URL": keys}

    def _roles(self) -> dict[str, str]:
        claim = self._text("GATEWAY_ROLE_CLAIM", "groups")
        if not CLAIM.fullmatch(claim):
            self._refuse("GATEWAY_ROLE_CLAIM", f"{claim!r} is no claim's name", "use letters, digits, _ and -")
        members = {role: _list(self._text(f"GATEWAY_{role.upper()}S")) for role in ROLES}
        if not any(members.values()):
            self._refuse(
                "GATEWAY_ADMINS",
                "nobody has a role",
                "list users or groups there, in GATEWAY_EDITORS or in GATEWAY_VIEWERS",
            )
        expressions = {role: _is_one_of(names, claim) for role, names in members.items()}
        return {f"IS_{role.upper()}": expression for role, expression in expressions.items()} | {
            "IS_LISTED": self._is_listed()
        }

    def _is_listed(self) -> str:
        """Write the expression for "still in the users file", whatever sessions there are; machines never were."""
        if not self.users:
            return "true"
        return f"(-n %{{reqenv:OAUTH2_CLAIM_exp}} || %{{REMOTE_USER}} =~ m#^(?:{_alternatives(self.users)})$#)"

    def _text(self, name: str, default: str = "") -> str:
        return self.variables.get(name, "").strip() or default

    def _port(self, name: str, default: str) -> str:
        text = self._text(name, default)
        if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
            self._refuse(name, f"{text!r} is no port", "set a number from 1 to 65535")
        return text

    def _number(self, name: str, default: str) -> int:
        text = self._text(name, default)
        if text.isascii() and text.isdecimal() and 0 < int(text) < 100_000:
            return int(text)
        self._refuse(name, f"{text!r} is no whole number above 0", f"such as {default}")
        return int(default)

    def _secret(self, name: str) -> str:
        path = self.secrets / name
        text = path.read_text().strip() if path.is_file() else ""
        if not SECRET.fullmatch(text):
            self._refuse(
                name, "it is missing, short, or has other signs than letters, digits, _ and -", "set 32 or more of them"
            )
        return text

    def _require_https(self, name: str, url: str, example: str = "https://login.example.com/realms/company") -> None:
        try:
            parts = urlsplit(url)
            usable = (
                parts.scheme == "https" and bool(parts.hostname) and CLIENT_ID.fullmatch(url) and not parts.fragment
            )
        except ValueError:
            usable = False
        if not usable:
            self._refuse(name, f"{url!r} is no https address", f"write it like {example}")

    def _refuse(self, name: str, cause: str, fix: str) -> None:
        self._problems.append(f"{name}: {cause}. Fix: {fix}")


def _origin(host: str, port: str) -> str:
    return f"https://{host}" if port == "443" else f"https://{host}:{port}"


def _is_ipv4(host: str) -> bool:
    try:
        return ip_address(host).version == 4
    except ValueError:
        return False


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_one_of(names: Iterable[str], claim: str) -> str:
    """Write httpd's expression for "this person has one of these names, or is in one of these groups"."""
    names = list(names)
    if EVERYONE in names:
        return "true"
    if not names:
        return "false"
    one = _alternatives(names)
    mail = f"m#^(?i:{one})$#"
    return " || ".join(
        (
            f"%{{REMOTE_USER}} =~ m#^(?:{one})$#",
            f"(${{HAS_OIDC_MAIL}} && %{{reqenv:OIDC_CLAIM_email}} =~ {mail})",
            f"(${{HAS_JWT_MAIL}} && %{{reqenv:OAUTH2_CLAIM_email}} =~ {mail})",
            f"%{{reqenv:OIDC_CLAIM_{claim}}} =~ m#(?:^|\\x1f)(?:{one})(?:\\x1f|$)#",
            # Here the claim is a text, or a list in JSON.
            f"%{{reqenv:OAUTH2_CLAIM_{claim}}} =~ m#^(?:{one})$#",
            f"%{{reqenv:OAUTH2_CLAIM_{claim}}} =~ m#^\\x5b(?:.*, ?)?\\x22(?:{one})\\x22(?:,.*)?\\x5d$#",
        )
    )


def _alternatives(names: Iterable[str]) -> str:
    """Write names as a regular expression, every sign that is no letter or digit by its number."""
    return "|".join(
        "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\x{byte:02x}" for byte in name.encode())
        for name in names
    )
