"""The oldest tables that can be upgraded. Empty databases get the newest at once: see `dagma.ledger.migrations`."""

revision = "0009"
down_revision = None
