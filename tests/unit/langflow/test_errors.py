import pickle

import pytest

import dagma.langflow as langflow
from dagma.langflow import FlowFailed, LangflowError

TYPES = [
    value
    for name in langflow.__all__
    if isinstance(value := getattr(langflow, name), type) and issubclass(value, LangflowError)
]


@pytest.mark.parametrize("error_type", TYPES, ids=lambda error_type: error_type.__name__)
def test_every_error_says_cause_and_fix(error_type: type[LangflowError]):
    error = error_type("It broke.")
    assert str(error) == f"It broke. {error_type.default_fix}"
    assert error.default_fix.endswith(".")


def test_an_error_survives_pickling():
    error = FlowFailed("It broke.", component="Prompt", status=500, excerpt="{}", outcome="failed")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (bytes made in this line)
    assert (copy.cause, copy.component, copy.status, copy.excerpt) == ("It broke.", "Prompt", 500, "{}")
    assert str(copy) == str(error)
