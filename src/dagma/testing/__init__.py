"""A Langflow in this process, for your tests and Dagma's own."""

from dagma.testing.behaviour import Behaviour, ComponentFailed, FakeAnswer, FakeCall, HumanNeeded, VariableMissing
from dagma.testing.fake_files import FakeFile
from dagma.testing.fake_langflow import FakeLangflow
from dagma.testing.http_server import Fault, RecordedRequest

__all__ = [
    "Behaviour",
    "ComponentFailed",
    "FakeAnswer",
    "FakeCall",
    "FakeFile",
    "FakeLangflow",
    "Fault",
    "HumanNeeded",
    "RecordedRequest",
    "VariableMissing",
]
