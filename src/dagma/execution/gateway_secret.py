"""The secret by which the gateway proves to Dagster's webserver that a request came through it."""

from dagma import environment

LEAST_CHARACTERS = 32


def gateway_secret_from_environment() -> str | None:
    """Read `DAGMA_GATEWAY_SECRET`; None without a gateway.

    Raises:
        SettingError: It is too short, or its file is empty: then nobody knows whether a gateway is meant.
    """
    secret = environment.text("DAGMA_GATEWAY_SECRET")
    if secret is None:
        if environment.text("DAGMA_GATEWAY_SECRET_FILE"):
            raise environment.SettingError("DAGMA_GATEWAY_SECRET_FILE names a file that is empty. Write the secret.")
        return None
    if len(secret) < LEAST_CHARACTERS or not secret.isascii():
        raise environment.SettingError(
            f"DAGMA_GATEWAY_SECRET needs at least {LEAST_CHARACTERS} letters and digits, such as what "
            "`openssl rand -hex 32` prints."
        )
    return secret
