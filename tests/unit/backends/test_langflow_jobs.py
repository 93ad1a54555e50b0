"""The answers of Langflow's jobs, in the shape of direct runs."""

from dataclasses import replace
from typing import Any

from dagma.backends.langflow.langflow_jobs import run_response
from dagma.langflow import CallResult, TokenUsage


def completed(output: dict[str, Any], **contents: Any) -> CallResult:
    """The result of a job, as its state tells it."""
    outputs = {component: {"type": "message", "content": content} for component, content in contents.items()}
    return CallResult.from_v2({"job_id": "job-1", "status": "completed", "output": output, "outputs": outputs})


def test_the_answer_that_langflow_chose_stays_the_answer_beside_other_texts() -> None:
    result = completed({"reason": "single", "text": "Paris", "source": "ChatOutput"}, SaveFile=None, ChatOutput="Paris")
    result = replace(result, outputs={**result.outputs, "SaveFile": "File saved."}, usage=TokenUsage(7, 3, 10))
    read = CallResult.from_v1(run_response(result))
    assert (read.answer, read.usage) == ("Paris", result.usage)
    assert read.outputs == {"SaveFile": "File saved.", "ChatOutput": "Paris"}


def test_texts_among_which_langflow_chose_none_are_several() -> None:
    read = CallResult.from_v1(run_response(completed({"reason": "multiple", "text": None}, A="one", B="two")))
    assert (read.answer, read.outputs) == (None, {"A": "one", "B": "two"})


def test_the_only_text_of_a_job_is_its_answer_though_langflow_calls_it_none() -> None:
    result = replace(completed({"reason": "non_string", "text": None}, Model=None), outputs={"Model": "Paris"})
    assert CallResult.from_v1(run_response(result)).answer == "Paris"
