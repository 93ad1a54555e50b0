"""The chat model behind the provider "OpenAI Compatible"."""

import os
from typing import Any

from langchain_openai import ChatOpenAI
from lfx.utils.ssrf_httpx import ssrf_protected_openai_clients_for_url
from pydantic import Field, model_validator


def _wanted() -> bool:
    return os.environ.get("LLM_STREAM_USAGE", "").strip().lower() not in ("false", "0", "no", "off")


class ChatOpenAICompatible(ChatOpenAI):
    """A chat model on any server with OpenAI's API, which is asked for its usage in streams too.

    The environment variable LLM_STREAM_USAGE=false switches that off, for a server that refuses `stream_options`.
    """

    stream_usage: bool | None = Field(default_factory=_wanted)

    @model_validator(mode="before")
    @classmethod
    def keep_to_allowed_hosts(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Add the HTTP clients that refuse private addresses, as Langflow does for the class ChatOpenAI by its name."""
        url = values.get("base_url") or values.get("openai_api_base")
        if url and not values.get("http_client"):
            return {**values, **ssrf_protected_openai_clients_for_url(url)}
        return values
