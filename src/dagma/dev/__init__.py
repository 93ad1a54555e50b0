"""The stack without containers: Langflow, the local LLM and Dagster as processes of one machine.

Run from the repository's root: `make dev`, or `python -m dagma.dev`.
"""
