"""Dagster's entry point."""

import dagster as dg

defs = dg.Definitions()
