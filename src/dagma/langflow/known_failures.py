"""What components say when their LLM can't be asked as `.env` says, and the fix for each.

The words are those of Langflow 1.13 and of the providers' own clients. A variable in capitals is one of the stack's
`.env`, which is where the fix belongs: running the component in the canvas shows the same error again.
"""

import re

_KEY = (
    "Set LLM_API_KEY in .env to a key that the server at LLM_BASE_URL accepts, then `make up`. A flow with another "
    "provider takes its key from Langflow's Settings, Model Providers."
)
_SAVE = (
    "Open the flow in Langflow and choose the model again, even if the canvas shows one: it may never have been saved. "
    "Move a component a little, which makes Langflow save the flow; reload the page, and look if the model is still "
    "chosen."
)
_ALLOW = (
    "Langflow calls a private address only if it is listed: add {host} to LANGFLOW_SSRF_ALLOWED_HOSTS in .env "
    "(separated by commas), then `make up`. If it is not meant to be called, correct LLM_BASE_URL."
)
_HOST = (
    "Langflow finds no host of that name. Correct LLM_BASE_URL in .env, then `make up`; a URL of the flow's own is "
    "corrected in its component."
)
_DOWN = (
    "Langflow can't connect to the LLM. Check that the server at LLM_BASE_URL in .env runs (`make ps` shows the local "
    "one), that the host and port are right, and that Langflow has a route to it."
)
_MODEL = "Set LLM_MODEL in .env to a model that the server at LLM_BASE_URL has, then `make up`."

NO_CREDIT = re.compile(
    r"insufficient_quota|exceeded your current quota|error code: 402|credit balance is too low", re.IGNORECASE
)
"""A provider's refusal that lasts, although OpenAI's is a 429."""
# A component can quote a whole page; what it says itself comes first.
_READ_CHARACTERS = 4000
# The first that fits counts. Each group of a pattern fills the blank of its name.
_FIXES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.MULTILINE), fix)
    for pattern, fix in (
        # The shipped Language Model, starter projects' Language Model, and Agent.
        (r"overrides require a built-in model selection|a model selection is required|no model selected", _SAVE),
        (r"(?:hostname|IP address) (?P<host>\S+) (?:resolves to blocked|is blocked by SSRF)", _ALLOW),
        (r"DNS resolution failed for|unable to resolve hostname|name or service not known|getaddrinfo failed", _HOST),
        (r"temporary failure in name resolution", _HOST),
        (r"error code: 401|incorrect API key|invalid_api_key|authentication failed for the OpenAI-compatible", _KEY),
        (r"error code: 404\b.*model", _MODEL),
        (r"could not connect to the OpenAI-compatible|OpenAI-compatible endpoint at \S+ (?:timed out|returned)", _DOWN),
        (r"^connection error\.?$", _DOWN),
    )
)


def fix_for(message: str) -> str | None:
    """Return what to do about what a component said, redacted; None where that is not known."""
    for pattern, fix in _FIXES:
        if match := pattern.search(message[:_READ_CHARACTERS]):
            return fix.format(**match.groupdict())
    return None
