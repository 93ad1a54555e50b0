"""Dagma: Dagster as the control plane for Langflow."""

__version__ = "0.1.0"
