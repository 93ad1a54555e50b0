from datetime import UTC, datetime

from chaos.llm_log import LlmRequest, read_requests

ANSWERED = """\
2026-03-10T12:00:01.100000000Z serving smollm2.gguf on http://0.0.0.0:8080/v1
2026-03-10T12:00:02.500000000Z 26.32.437.530 I slot get_availabl: id  0 | task -1 | selected slot by LCP similarity
2026-03-10T12:00:02.500000000Z 26.32.437.727 I slot launch_slot_: id  0 | task 96 | processing task, is_child = 0
2026-03-10T12:00:03.500000000Z 26.32.590.564 I slot print_timing: id  0 | task 96 | prompt eval time = 27.49 ms
2026-03-10T12:00:03.500000000Z 26.32.590.571 I slot print_timing: id  0 | task 96 |       total time = 152.79 ms
2026-03-10T12:00:03.750000000Z 26.32.590.619 I slot      release: id  0 | task 96 | stop processing: n_tokens = 35
"""
BEGUN = "2026-03-10T12:00:05.000000000Z 1.0 I slot launch_slot_: id  1 | task 97 | processing task, is_child = 0\n"
CANCELLED = "2026-03-10T12:00:06.000000000Z 1.1 I slot      release: id  1 | task 97 | stop processing: n_tokens = 9\n"
RESTARTED = "2026-03-10T12:00:09.000000000Z serving smollm2.gguf on http://0.0.0.0:8080/v1\n"


def at(second: int, microsecond: int = 0) -> datetime:
    return datetime(2026, 3, 10, 12, 0, second, microsecond, tzinfo=UTC)


def test_an_answered_request_was_paid_for() -> None:
    assert read_requests(ANSWERED) == [LlmRequest(at(2, 500000), at(3, 750000), completed=True)]


def test_a_request_whose_caller_hung_up_was_not() -> None:
    assert read_requests(ANSWERED + BEGUN + CANCELLED)[1:] == [LlmRequest(at(5), at(6), completed=False)]


def test_a_request_without_an_end_still_runs() -> None:
    assert read_requests(BEGUN) == [LlmRequest(at(5))]


def test_a_request_ends_with_its_server_and_its_number_is_used_again() -> None:
    again = ANSWERED.replace("task 96", "task 97").replace("T12:00", "T12:01")
    first, second = read_requests(BEGUN + RESTARTED + again)

    assert first == LlmRequest(at(5), at(9), completed=False)
    assert second.completed


def test_other_lines_are_no_requests() -> None:
    assert read_requests("\nllama_model_loader: loaded\n2026-03-10T12:00:01Z I srv  log_server_r: GET /health\n") == []
