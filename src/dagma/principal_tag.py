"""The run tag that says who asked for a run."""

PRINCIPAL_TAG = "dagma/principal"
"""Set by whoever launches a run: `dagma ask`, or Dagster's webserver for somebody who came through the gateway."""
