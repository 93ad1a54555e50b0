#!/usr/bin/env python3
"""Count what a reader of one direct call goes through until its request is sent: files, functions and lines of code.

Usage: .venv/bin/python scripts/call-path.py

The asset is materialized over a fake Langflow and a SQLite ledger. Lines are those of function bodies that Python has
compiled: no docstrings, comments and blank lines.
"""

import os
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "dagma"
sys.path.insert(0, str(PACKAGE.parent))


def main() -> None:
    """Trace one call and print a line for each file, and the sums."""
    by_file: dict[str, list[int]] = defaultdict(list)
    for code in trace_one_call():
        lines = {line for *_, line in code.co_lines() if line} - {code.co_firstlineno}
        by_file[str(Path(code.co_filename).relative_to(PACKAGE))].append(len(lines))
    for path, lines_of in by_file.items():
        print(f"{sum(lines_of):>5} lines of {len(lines_of):>3} functions  {path}")
    functions = [lines for lines_of in by_file.values() for lines in lines_of]
    print(f"{sum(functions):>5} lines of {len(functions):>3} functions in {len(by_file)} files")


def trace_one_call() -> list[CodeType]:
    """Materialize the asset, and give the package's code that was entered, by any thread but the fake's."""
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
            entered: dict[CodeType, None] = {}

            def note(frame: FrameType, event: str, _argument: Any) -> None:
                code, path = frame.f_code, Path(frame.f_code.co_filename)
                is_ours = path.is_relative_to(PACKAGE) and not path.is_relative_to(PACKAGE / "testing")
                if event != "call" or not is_ours or code.co_name.startswith("<"):
                    return
                is_sent = any("/run/" in request.path for request in fake.requests[sent_before:])
                if not is_sent and (entered or code.co_name == "langflow_run_flow"):
                    entered.setdefault(code)

            threading.setprofile(note)
            sys.setprofile(note)
            try:
                materialize()
            finally:
                sys.setprofile(None)
                threading.setprofile(None)
    return list(entered)


def materialize() -> None:
    """Materialize `langflow_run_flow` as a run of Dagster does."""
    import dagster as dg

    from dagma.definitions import defs

    job = defs.resolve_job_def("langflow_run_flow_job")
    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(instance=instance, raise_on_error=True)


if __name__ == "__main__":
    main()
