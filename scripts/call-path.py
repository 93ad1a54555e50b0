#!/usr/bin/env python3
"""Count what a reader of one direct call goes through: files, functions and lines of function bodies.

Usage: .venv/bin/python scripts/call-path.py [--functions]

The asset is materialized over a fake Langflow and a SQLite ledger. What is entered from the asset to the HTTP request
counts, and what is entered before the answer is handed back is told apart. Docstrings, comments and blank lines do not.
"""

import argparse
import ast
import os
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "dagma"
sys.path.insert(0, str(PACKAGE.parent))
Entered = dict[CodeType, None]


def main() -> None:
    """Trace one call and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--functions", action="store_true", help="list the functions as well")
    options = parser.parse_args()
    until_sent, afterwards = trace_one_call()
    print_table("from the asset to the HTTP request", until_sent, options.functions)
    print_table("from there to the materialization, where it is entered first", afterwards, options.functions)


def trace_one_call() -> tuple[Entered, Entered]:
    """Materialize the asset, and give the package's code that was entered before and after the request was sent."""
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"DAGMA_LEDGER_URL": f"sqlite:///{home}/ledger.db", "DAGSTER_HOME": home}
        from dagma.testing import FakeLangflow

        with FakeLangflow() as fake:
            flow_id = fake.add_flow("echo")
            os.environ |= {
                "LANGFLOW_BASE_URL": fake.base_url,
                "LANGFLOW_API_KEY": fake.api_key,
                "LANGFLOW_DEFAULT_FLOW_ID": flow_id,
            }
            materialize()  # what only the first call of a process does, such as making tables, is none of the path
            sent_before = len(fake.requests)
            before: Entered = {}
            after: Entered = {}
            with entering(lambda: after if has_run(fake, sent_before) else before):
                materialize()
    return before, {code: None for code in after if code not in before}


def has_run(fake: Any, sent_before: int) -> bool:
    """Whether the fake has got the request of the run."""
    return any("/run/" in request.path for request in fake.requests[sent_before:])


def materialize() -> None:
    """Materialize `langflow_run_flow` as a run of Dagster does."""
    import dagster as dg

    from dagma.definitions import defs

    job = defs.resolve_job_def("langflow_run_flow_job")
    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(instance=instance, raise_on_error=True)


@contextmanager
def entering(chosen: Any) -> Iterator[None]:
    """Note the functions of the package that are entered inside the asset, by any thread but the fake's."""
    inside = threading.Event()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        path = Path(code.co_filename)
        if event == "return" and is_asset(code):
            inside.clear()
        if event != "call" or not path.is_relative_to(PACKAGE) or path.is_relative_to(PACKAGE / "testing"):
            return
        if is_asset(code):
            inside.set()
        if inside.is_set() and not code.co_name.startswith("<"):
            chosen().setdefault(code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def is_asset(code: CodeType) -> bool:
    """Whether it is the asset's function."""
    return code.co_name == "langflow_run_flow" and code.co_filename.endswith("assets.py")


def print_table(title: str, entered: Entered, with_functions: bool) -> None:
    """Print a line for each file, and the sums."""
    by_file: dict[Path, list[CodeType]] = defaultdict(list)
    for code in entered:
        by_file[Path(code.co_filename)].append(code)
    print(f"{title}:")
    total = 0
    for path, codes in by_file.items():
        bodies = body_lines(path)
        lines = sum(bodies.get(code.co_firstlineno, 0) for code in codes)
        total += lines
        print(f"  {lines:>5} lines of {len(codes):>3} functions  {path.relative_to(PACKAGE)}")
        if with_functions:
            for code in codes:
                print(f"          {bodies.get(code.co_firstlineno, 0):>4} {code.co_qualname}")
    print(f"  {total:>5} lines of {len(entered):>3} functions in {len(by_file)} files\n")


def body_lines(path: Path) -> dict[int, int]:
    """Count the lines of each function's body by its first line, without its docstring, comments and blank lines."""
    text = path.read_text()
    written = [bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines()]
    counts: dict[int, int] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            statements = node.body[1:] if ast.get_docstring(node) else node.body
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if statements:
                counts[first] = sum(written[statements[0].lineno - 1 : node.end_lineno])
            else:
                counts[first] = 0
    return counts


if __name__ == "__main__":
    main()
