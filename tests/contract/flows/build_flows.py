"""Write the flows of the contract tests as JSON, beside this file.

Usage: python build_flows.py
Prerequisites: an interpreter that has Langflow (or `lfx` with its components) installed; the tests themselves read
the JSON only and need neither.
"""

import json
import re
from pathlib import Path
from typing import Any

from lfx.components.flow_controls import HumanInput
from lfx.components.input_output import ChatInput, ChatOutput
from lfx.custom.custom_component.component import Component
from lfx.graph import Graph
from lfx.io import BoolInput, FileInput, FloatInput, IntInput, MessageInput, Output, StrInput
from lfx.schema.data import Data
from lfx.schema.dataframe import DataFrame
from lfx.schema.message import Message

# Default messages carry the moment of the dump.
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ UTC")
HERE = Path(__file__).parent

IDS = {
    "echo": "5c0ffee0-0000-4000-8000-000000000001",
    "behave": "5c0ffee0-0000-4000-8000-000000000002",
    "unbound": "5c0ffee0-0000-4000-8000-000000000003",
    "approval": "5c0ffee0-0000-4000-8000-000000000004",
    "data": "5c0ffee0-0000-4000-8000-000000000005",
    "table": "5c0ffee0-0000-4000-8000-000000000006",
    "reader": "5c0ffee0-0000-4000-8000-000000000007",
}

BEHAVE_SOURCE = """import asyncio
import time

from langchain_core.messages import AIMessageChunk
from lfx.custom.custom_component.component import Component
from lfx.io import BoolInput, FloatInput, IntInput, MessageInput, Output, StrInput
from lfx.schema.message import Message


class Behave(Component):
    display_name = "Behave"
    description = "Sleep, repeat or fail, as the tweaks say."
    name = "Behave"

    inputs = [
        MessageInput(name="message", display_name="Message"),
        FloatInput(name="seconds", display_name="Seconds to sleep", value=0.0),
        IntInput(name="repeat", display_name="Times to repeat the text", value=1),
        StrInput(name="fail_with", display_name="Message of the error to raise", value=""),
        BoolInput(name="word_by_word", display_name="Answer word by word", value=False),
        BoolInput(name="blocks", display_name="Sleep without letting others run", value=False),
    ]
    outputs = [Output(name="answer", display_name="Answer", method="answer")]

    async def answer(self) -> Message:
        if self.blocks:
            time.sleep(self.seconds)
        else:
            await asyncio.sleep(self.seconds)
        if self.fail_with:
            raise RuntimeError(self.fail_with)
        text = self.message.text * self.repeat
        if self.word_by_word:
            said = Message(text=self.words(text), sender="Machine", sender_name="AI", session_id=self.graph.session_id)
            return await self.send_message(said)
        return Message(text=text)

    async def words(self, text: str):
        for word in text.split(" "):
            await asyncio.sleep(0.05)
            yield AIMessageChunk(content=word + " ")
"""


class Behave(Component):
    """The inputs and outputs of `BEHAVE_SOURCE`, for `Graph` to wire; the server runs the source."""

    name = "Behave"
    display_name = "Behave"
    _code = BEHAVE_SOURCE
    inputs = [  # noqa: RUF012  # Langflow reads plain class attributes
        MessageInput(name="message", display_name="Message"),
        FloatInput(name="seconds", display_name="Seconds to sleep", value=0.0),
        IntInput(name="repeat", display_name="Times to repeat the text", value=1),
        StrInput(name="fail_with", display_name="Message of the error to raise", value=""),
        BoolInput(name="word_by_word", display_name="Answer word by word", value=False),
        BoolInput(name="blocks", display_name="Sleep without letting others run", value=False),
    ]
    outputs = [Output(name="answer", display_name="Answer", method="answer")]  # noqa: RUF012

    async def answer(self) -> Message:
        raise NotImplementedError


RECORDS_SOURCE = """from lfx.custom.custom_component.component import Component
from lfx.io import MessageInput, Output
from lfx.schema.data import Data
from lfx.schema.dataframe import DataFrame


class Records(Component):
    display_name = "Records"
    description = "Count the letters of each word."
    name = "Records"

    inputs = [MessageInput(name="message", display_name="Message")]
    outputs = [Output(name="OUTPUT", display_name="Records", method="OUTPUT")]

    def data(self) -> Data:
        return Data(data={"letters": {word: len(word) for word in self.message.text.split()}})

    def table(self) -> DataFrame:
        return DataFrame([{"word": word, "letters": len(word)} for word in self.message.text.split()])
"""


class Records(Component):
    """The inputs and outputs of `RECORDS_SOURCE`, for `Graph` to wire; the server runs the source."""

    name = "Records"
    display_name = "Records"
    inputs = [MessageInput(name="message", display_name="Message")]  # noqa: RUF012

    def data(self) -> Data:
        raise NotImplementedError

    def table(self) -> DataFrame:
        raise NotImplementedError


READER_SOURCE = """from pathlib import Path

from lfx.custom.custom_component.component import Component
from lfx.io import FileInput, MessageInput, Output
from lfx.schema.message import Message


class Reader(Component):
    display_name = "Reader"
    description = "Answer with the text of a file."
    name = "Reader"

    inputs = [
        MessageInput(name="message", display_name="Message"),
        FileInput(name="path", display_name="File", file_types=["txt"]),
    ]
    outputs = [Output(name="answer", display_name="Answer", method="answer")]

    def answer(self) -> Message:
        return Message(text=Path(self.path).read_text())
"""


class Reader(Component):
    """The inputs and outputs of `READER_SOURCE`, for `Graph` to wire; the server runs the source."""

    name = "Reader"
    display_name = "Reader"
    _code = READER_SOURCE
    inputs = [  # noqa: RUF012
        MessageInput(name="message", display_name="Message"),
        FileInput(name="path", display_name="File", file_types=["txt"]),
    ]
    outputs = [Output(name="answer", display_name="Answer", method="answer")]  # noqa: RUF012

    def answer(self) -> Message:
        raise NotImplementedError


def template_of(flow: dict[str, Any], component_id: str) -> dict[str, Any]:
    """Return the template of one component of a dumped flow."""
    (node,) = (node for node in flow["data"]["nodes"] if node["id"] == component_id)
    template: dict[str, Any] = node["data"]["node"]["template"]
    return template


def dump(graph: Graph, slug: str) -> dict[str, Any]:
    """Dump a graph as a flow with a stable id and endpoint name."""
    text = json.dumps(graph.dump(name=f"Contract {slug}", endpoint_name=f"contract-{slug}"))
    flow = json.loads(MOMENT.sub("2026-01-01 00:00:00.000000 UTC", text))
    for parts in flow["data"].values():
        # The dump's order is that of a set, which differs from one run to the next.
        parts.sort(key=lambda part: json.dumps(part, sort_keys=True))
    return {"id": IDS[slug], **flow}


def echo() -> dict[str, Any]:
    """Chat input to chat output."""
    source = ChatInput(_id="ChatInput-echo")
    return dump(Graph(source, ChatOutput(_id="ChatOutput-echo").set(input_value=source.message_response)), "echo")


def behave(slug: str) -> dict[str, Any]:
    """Chat input, a component that does as its tweaks say, chat output."""
    source = ChatInput(_id="ChatInput-behave")
    middle = Behave(_id="Behave-1").set(message=source.message_response)
    flow = dump(Graph(source, ChatOutput(_id="ChatOutput-behave").set(input_value=middle.answer)), slug)
    template_of(flow, "Behave-1")["code"]["value"] = BEHAVE_SOURCE
    return flow


def unbound() -> dict[str, Any]:
    """`behave`, with one field bound to a global variable that does not exist."""
    flow = behave("unbound")
    template_of(flow, "Behave-1")["fail_with"].update(load_from_db=True, value="DAGMA_CONTRACT_NO_SUCH_VARIABLE")
    return flow


def approval() -> dict[str, Any]:
    """Chat input, a human's decision, and a chat output for the approved."""
    source = ChatInput(_id="ChatInput-approval")
    human = HumanInput(_id="HumanInput-1").set(prompt=source.message_response)
    approved = ChatOutput(_id="ChatOutput-approved").set(input_value=human.route_branch)
    return dump(Graph(source, approved), "approval")


def records(slug: str) -> dict[str, Any]:
    """Chat input, and a component that ends the flow with data or a table in place of a message."""
    source = ChatInput(_id=f"ChatInput-{slug}")
    code = RECORDS_SOURCE.replace("OUTPUT", slug)
    kind = type(
        "Records", (Records,), {"_code": code, "outputs": [Output(name=slug, display_name="Records", method=slug)]}
    )
    flow = dump(Graph(source, kind(_id="Records-1").set(message=source.message_response)), slug)
    template_of(flow, "Records-1")["code"]["value"] = code
    return flow


def reader() -> dict[str, Any]:
    """Chat input, a component that answers with the text of a file, chat output."""
    source = ChatInput(_id="ChatInput-reader")
    middle = Reader(_id="Reader-1").set(message=source.message_response)
    flow = dump(Graph(source, ChatOutput(_id="ChatOutput-reader").set(input_value=middle.answer)), "reader")
    template_of(flow, "Reader-1")["code"]["value"] = READER_SOURCE
    return flow


if __name__ == "__main__":
    for slug, flow in {
        "echo": echo(),
        "behave": behave("behave"),
        "unbound": unbound(),
        "approval": approval(),
        "data": records("data"),
        "table": records("table"),
        "reader": reader(),
    }.items():
        (HERE / f"{slug}.json").write_text(json.dumps(flow, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
