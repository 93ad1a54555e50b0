"""Loads each project of a list of folders in a fork of its own, since modules are imported once, and Dagster slowly."""

import contextlib
import io
import json
import os
import sys
from multiprocessing import get_context

import dagma.definitions  # noqa: F401  # before the forks
from dagma.cli import main


def validate(environment: dict[str, str]) -> tuple[int, str]:
    os.environ.update(environment)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = main(["validate"])
    return code, said.getvalue()


if __name__ == "__main__":
    environments = json.load(sys.stdin)
    with get_context("fork").Pool(1, maxtasksperchild=1) as forks:
        print(json.dumps(forks.map(validate, environments, chunksize=1)))
