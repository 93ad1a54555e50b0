from collections.abc import Iterator
from typing import Any

import pytest

from dagma.langflow import Access, LangflowClient
from dagma.testing import FakeLangflow, RecordedRequest
from dagma.testing.fixtures import fake_langflow

__all__ = ["fake_langflow"]

FLOW_ID = "11111111-1111-4111-8111-111111111111"


def writes(fake: FakeLangflow) -> list[RecordedRequest]:
    """The requests that store a flow."""
    return [request for request in fake.requests if request.method == "PUT"]


@pytest.fixture
def client(fake_langflow: FakeLangflow) -> Iterator[LangflowClient]:
    with LangflowClient(fake_langflow.base_url, Access(api_key=fake_langflow.api_key)) as client:
        yield client


@pytest.fixture
def flow() -> dict[str, Any]:
    """A flow of two components, as Langflow's API returns it."""
    return {
        "id": FLOW_ID,
        "name": "Greeter",
        "description": None,
        "endpoint_name": "greeter",
        "is_component": False,
        "tags": None,
        "user_id": "someone",
        "folder_id": "somewhere",
        "updated_at": "2026-01-01T00:00:00+00:00",
        "version_token": "22222222-2222-4222-8222-222222222222",
        "data": {
            "viewport": {"x": 1.5, "y": 2, "zoom": 0.7},
            "nodes": [
                {
                    "id": "Model-a",
                    "type": "genericNode",
                    "position": {"x": 10.4, "y": 20.0},
                    "measured": {"width": 320, "height": 200},
                    "selected": True,
                    "data": {
                        "id": "Model-a",
                        "type": "Model",
                        "node": {
                            "lf_version": "1.13.0",
                            "outputs": [{"name": "text", "hidden": None}],
                            "template": {
                                "_type": "Component",
                                "_frontend_node_folder_id": {"value": "somewhere"},
                                "is_refresh": True,
                                "api_key": {
                                    "type": "str",
                                    "password": True,
                                    "value": "typed-here",
                                    "load_from_db": False,
                                },
                                "code": {"type": "code", "value": "one\ntwo\n"},
                                "model": {"type": "model", "value": [{"name": "m"}], "options": ["found", "now"]},
                                "model_name": {"type": "str", "value": "LLM_MODEL", "load_from_db": True},
                                "temperature": {"type": "slider", "value": 1.0},
                            },
                        },
                    },
                },
                {
                    "id": "Out-b",
                    "type": "genericNode",
                    "position": {"x": 400, "y": 20},
                    "data": {"id": "Out-b", "node": {"outputs": [], "template": {"input_value": {"value": ""}}}},
                },
            ],
            "edges": [
                {
                    "id": "edge-1",
                    "source": "Model-a",
                    "target": "Out-b",
                    "selected": False,
                    "animated": True,
                    "data": {"sourceHandle": {"name": "text"}, "targetHandle": {"fieldName": "input_value"}},
                }
            ],
        },
    }
