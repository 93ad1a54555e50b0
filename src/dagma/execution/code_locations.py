"""The code locations of the stack."""

LOCATIONS = {"dagma": "dagma.definitions", "project": "dagma.project_definitions"}
"""The modules that they load, by the locations' names."""
