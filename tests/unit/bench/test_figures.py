from bench.figures import Figure, read_figures, spread


def test_a_figure_is_one_line_of_name_value_unit_and_target() -> None:
    assert str(Figure("added_per_call_v1", 4.8453, "ms", "<8")) == "added_per_call_v1 4.85 ms <8"
    assert str(Figure("calls_per_second_4", 9.0, "1/s")) == "calls_per_second_4 9 1/s -"


def test_figures_are_found_among_what_else_a_script_prints() -> None:
    figures = [Figure("a", 1.0, "s"), Figure("b", 2.0, "ms", "<3")]
    printed = "\n".join(["warning: {}", figures[0].to_json(), " 4 callers", figures[1].to_json(), ""])

    assert read_figures(printed) == figures


def test_a_sample_is_described_in_milliseconds() -> None:
    assert spread([0.001, 0.002, 0.003]) == "median 2.00 ms (1.00 to 3.00, n=3)"
