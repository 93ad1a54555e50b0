"""Rows in, answers out. Empty, so that the command line can read tables without importing Dagster."""
