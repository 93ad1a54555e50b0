"""The arrival of a request, read off the relay's log as Compose prints it."""

import json
from typing import cast

import pytest
from bench.launches import arrival
from harness.stack import Stack

MARK = "0123456789abcdef"
TRACEBACK = """\
Exception occurred during processing of request from ('172.18.0.9', 41234)
Traceback (most recent call last):
  File "/bench/recorder.py", line 27, in do_any
    print(json.dumps({"at": at, "input": json.loads(body)["input_value"]}), flush=True)
    headers = {name: value for name, value in self.headers.items()}
KeyError: '{"at"'
{"at": 1.0}
{"at": {}}"""


class Log:
    """A stack whose recorder has said this."""

    def __init__(self, *lines: str) -> None:
        self._text = "\n".join(lines)

    def run(self, *command: str) -> str:
        assert command == ("logs", "--no-log-prefix", "recorder")
        return self._text


def seen(at: float, mark: str = MARK) -> str:
    return json.dumps({"at": at, "input": mark})


def arrival_among(*lines: str) -> float:
    return arrival(cast("Stack", Log(*lines)), MARK)


@pytest.mark.parametrize(
    "line",
    [
        seen(7.5),
        f"\x1b[2K{seen(7.5)}",
        f"\x1b[2K\x1b[1A\x1b[2K{seen(7.5)}\x1b[0m",
        f"{seen(7.5)} \r",
        f"{seen(7.5)}}} and more",
        f"{{}} {seen(7.5)}",
    ],
)
def test_the_arrival_is_found_in_its_line_whatever_is_around(line: str) -> None:
    assert arrival_among("", "\x1b[2K", seen(1, "another"), line, seen(9, "a third")) == 7.5


def test_the_arrival_is_found_after_tracebacks_that_quote_the_code_for_it() -> None:
    assert arrival_among(TRACEBACK, f"\x1b[2K{seen(7.5)}") == 7.5


def test_the_first_arrival_counts_for_a_request_that_was_sent_twice() -> None:
    assert arrival_among(seen(7.5), seen(8.5)) == 7.5


def test_a_request_that_never_arrived_is_an_error() -> None:
    with pytest.raises(AssertionError, match=f"no request with input {MARK}"):
        arrival_among(TRACEBACK, seen(1, "another"), f'{{"at": 2.0, "input": "{MARK}')
