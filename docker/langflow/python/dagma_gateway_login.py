"""Who the gateway says is asking: Langflow's `EXTERNAL_AUTH_IDENTITY_RESOLVER` behind docker-compose.gateway.yml.

The gateway sends `X-Dagma-Login: SECRET ROLE PRINCIPAL`, and lets nobody send it from outside. Admins share the account
of Langflow's superuser, which owns the flows that Dagster runs. Everyone else gets an account of their own on the first
visit.
"""

import hmac
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLES = frozenset({"viewer", "editor", "admin"})
ROLE_CLAIM = "dagma_role"
SUPERUSER = "superuser"
"""The subject under which Langflow knows its superuser here. It has no `@`, `:` or digit as those of people have."""


async def resolve(login: str, auth_settings: Any) -> "Mapping[str, str]":
    """Turn the gateway's header into the claims of an identity.

    Args:
        login: The header's value.
        auth_settings: Langflow's, of which the provider's and the superuser's names are read.

    Returns:
        Claims: subject, user name, mail address and role.

    Raises:
        InvalidTokenError: The header is not the gateway's.
    """
    from langflow.services.auth.exceptions import InvalidTokenError

    secret, _, rest = login.partition(" ")
    role, _, principal = rest.partition(" ")
    expected = os.environ.get("LANGFLOW_GATEWAY_SECRET", "")
    if (
        not expected
        or not hmac.compare_digest(secret.encode(), expected.encode())
        or role not in ROLES
        or not principal
    ):
        raise InvalidTokenError("The login is not the gateway's.")
    if role == "admin":
        await _link_superuser(auth_settings.EXTERNAL_AUTH_PROVIDER, auth_settings.SUPERUSER)
        return {"sub": SUPERUSER, "preferred_username": auth_settings.SUPERUSER, ROLE_CLAIM: role}
    claims = {"sub": f"user:{principal}", "preferred_username": principal, ROLE_CLAIM: role}
    return claims | ({"email": principal} if "@" in principal else {})


async def _link_superuser(provider: str, username: str) -> None:
    """Have Langflow find the superuser's account under the subject `superuser`."""
    from langflow.services.database.models.auth import SSOUserProfile
    from langflow.services.database.models.user.crud import get_user_by_username
    from lfx.services.deps import session_scope
    from sqlalchemy.exc import IntegrityError
    from sqlmodel import select

    mine = (SSOUserProfile.sso_provider == provider, SSOUserProfile.sso_user_id == SUPERUSER)
    try:
        async with session_scope() as session:
            if (await session.exec(select(SSOUserProfile).where(*mine))).first() is None:
                user = await get_user_by_username(session, username)
                if user is not None:
                    session.add(SSOUserProfile(user_id=user.id, sso_provider=provider, sso_user_id=SUPERUSER))
    except IntegrityError:
        # Another request has done the same in this moment.
        return
