"""The modules of docker/gateway, which live in its image alone."""

import sys
from pathlib import Path

from unit.scripts.compose import ROOT

sys.path.append(str(ROOT / "docker" / "gateway"))
HASH = "$2y$12$" + "a" * 53
SECRETS = {
    "DAGMA_GATEWAY_SECRET": "d" * 48,
    "LANGFLOW_GATEWAY_SECRET": "l" * 64,
    "GATEWAY_SESSION_SECRET": "s" * 64,
    "GATEWAY_OIDC_CLIENT_SECRET": "",
    "GATEWAY_USERS": f"anna:{HASH}\nbob:{HASH}\n",
}
OIDC = {
    "GATEWAY_OIDC_ISSUER": "https://login.example.com/realms/company/",
    "GATEWAY_OIDC_CLIENT_ID": "dagma",
}


def write_secrets(folder: Path, **changed: str) -> Path:
    """Write the gateway's secrets as files; return their folder."""
    for name, value in (SECRETS | changed).items():
        (folder / name).write_text(value)
    return folder
