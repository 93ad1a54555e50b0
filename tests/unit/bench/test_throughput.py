from bench.throughput import calls_per_second, cycles


def test_a_rate_is_that_of_the_usual_time_between_two_answers_of_a_caller() -> None:
    assert calls_per_second([[10.0, 10.5, 11.0, 11.5], [10.1, 10.6, 13.1, 13.6]]) == 4.0


def test_calls_that_end_after_the_first_caller_is_done_do_not_count() -> None:
    assert cycles([[1.0, 2.0, 3.0], [1.5, 2.75, 3.25]]) == [1.0, 1.0, 1.25]
