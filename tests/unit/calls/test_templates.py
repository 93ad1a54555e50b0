"""Templates of inputs and tweaks."""

import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dagma import StoredTable
from dagma.calls.templates import BadTemplateError, NestedTemplates, Template


def filled(source: str, **values: Any) -> str:
    return Template(source, "the input", values).text(values)


@pytest.mark.parametrize(
    ("source", "values", "text"),
    [
        ("Hello {{ name }}!\n", {"name": "Ann"}, "Hello Ann!"),
        ("{{ row.text }}", {"row": {"text": "<b>{{ 7 * 7 }}</b>"}}, "<b>{{ 7 * 7 }}</b>"),
        ("{{ rows }}", {"rows": [{"a": "é<", "b": None}]}, '[{"a": "é<", "b": null}]'),
        ("{{ rows | tojson }}", {"rows": ["<"]}, '["<"]'),
        ("[{{ nothing }}{{ no_number }}]", {"nothing": None, "no_number": float("nan")}, "[]"),
        ("{{ row.items }} {{ row.get('b') }}", {"row": {"items": "a column", "b": 1}}, "a column 1"),
        ("{{ text.upper() }} {{ '{:.1f}'.format(number) }}", {"text": "a", "number": 2}, "A 2.0"),
        ("{% for each in rows %}{{ each }};{% endfor %}", {"rows": [1, 2]}, "1;2;"),
        ("{{ tags | map('upper') }} {{ of.keys() }}", {"tags": ["a", "b"], "of": {"x": 1}}, '["A", "B"] ["x"]'),
        ("{{ words }}", {"words": {"pear", "fig", "apple"}}, '["apple", "fig", "pear"]'),
        ("{{ missing.x | default('none') }}", {"missing": {}}, "none"),
        ("{{ text }}, {{ [text] }}", {"text": "é".encode()}, 'é, ["é"]'),
    ],
)
def test_values_are_filled_in_as_a_model_reads_them(source: str, values: dict[str, Any], text: str) -> None:
    assert filled(source, **values) == text


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("{{ row.txt }}", "The input can't be filled in: there is no 'txt', only text."),
        ("{{ row['txt'] }}", "The input can't be filled in: there is no 'txt', only text."),
        ("{{ row.text + 1 }}", "The input can't be filled in: TypeError: can only concatenate str"),
        ("{{ row.__class__.__mro__ }}", "access to attribute '__class__' of 'dict' object is unsafe"),
        ("{{ row.text.__init__.__globals__ }}", "access to attribute '__init__' of 'str' object is unsafe"),
        ("{{ row.clear() }}", "access to attribute 'clear' of 'dict' object is unsafe"),
        ("{{ row.txt.upper() }}", "The input can't be filled in: there is no 'txt', only text."),
        ("{{ row.text.encode('utf-16') }}", "can't be filled in: UnicodeDecodeError: 'utf-8' codec can't decode"),
    ],
)
def test_what_is_missing_fails_or_is_not_allowed_is_told(source: str, cause: str) -> None:
    with pytest.raises(BadTemplateError) as raised:
        filled(source, row={"text": "x"})
    assert cause in str(raised.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array(["x", "y"], dtype=object), '["x", "y"]'),
        (np.array([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]"),
        (np.arange(2000), json.dumps(list(range(2000)))),
        (pd.Series([0.5, 1.5]), "[0.5, 1.5]"),
        ({"tags": np.array([True]), "n": np.int64(1), "of": {"b", "a"}}, '{"tags": [true], "n": 1, "of": ["a", "b"]}'),
        (np.array(["2026-01-31"], dtype="datetime64[ns]"), '["2026-01-31T00:00:00.000000000"]'),
        ({"at": np.datetime64("2026-01-31", "ns")}, '{"at": "2026-01-31T00:00:00.000000000"}'),
        (memoryview(b"x"), "x"),
        (np.int64(7), "7"),
        (np.float32(0.1), "0.1"),
    ],
    ids=["texts", "two dimensions", "many", "pandas", "inside", "times", "a time inside", "bytes", "whole", "a number"],
)
def test_arrays_are_lists_and_whole(value: Any, text: str) -> None:
    assert filled("{{ row.value }}", row={"value": value}) == text
    if "[" in text:
        assert filled("{{ row.value | tojson }}", row={"value": value}) == text
    sent = Template("{{ row.value }}", "a tweak", ["row"]).value({"row": {"value": value}})
    assert isinstance(sent, list | dict | memoryview | int | float)


@pytest.mark.parametrize(
    "value",
    [
        *(pd.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}), pl.LazyFrame({"a": [1]}), pl.Series([1])),
        *(pa.table({"a": [1]}), pa.record_batch({"a": [1]})),
        *(StoredTable("labels"), "text".upper, len, object()),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_has_no_whole_text_is_refused(value: Any) -> None:
    for source in ("{{ row.x }}", "{{ [row.x] }}", "{{ row.x | tojson }}", "{{ row.x }} {{ row.x }}"):
        with pytest.raises(BadTemplateError, match=f"a {type(value).__name__} can't be written as text. Write a"):
            filled(source, row={"x": value})


def test_constants_are_written_as_values_are() -> None:
    assert filled("{{ none }}{{ ['é'] }}{% set x %}{{ [1] }}{% endset %}{{ x }}") == '["é"][1]'


def test_a_template_that_cannot_work_is_refused_before_it_is_filled_in() -> None:
    with pytest.raises(BadTemplateError, match=r"The input uses rwo, which does not exist\. It can use config, row\."):
        Template("{{ rwo.text }}", "the input", ["row", "config"])
    with pytest.raises(BadTemplateError, match=r"The input can't be read, in line 2: Unexpected end of template"):
        Template("{{ row.text }}\n{% if row %}", "the input", ["row"])


def test_a_template_tells_what_it_takes_from_a_variable() -> None:
    template = Template("{{ upstream.a }} {{ upstream['b/c'].d }} {{ config.e }}", "it", ["upstream", "config"])
    assert template.members("upstream") == {"a", "b/c"}
    assert template.names == {"upstream", "config"}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ config.number }}", 0.5),
        (" {{- config.number -}} ", 0.5),
        ("{{ config.rows }}", [1]),
        ("{{ config.number }}{{ config.number }}", "0.50.5"),
        ("about {{ config.number }}", "about 0.5"),
        ("plain", "plain"),
    ],
)
def test_a_single_expression_keeps_the_type_of_its_value(source: str, value: Any) -> None:
    values = {"config": {"number": 0.5, "rows": [1]}}
    assert Template(source, "it", values).value(values) == value
    with pytest.raises(BadTemplateError, match="there is no 'missing', only number, rows"):
        Template("{{ config.missing }}", "it", values).value(values)


@pytest.mark.parametrize(
    ("source", "values", "value"),
    [
        ("{{ n }}{{ s }}", {"n": 5, "s": ""}, "5"),
        ("{{ s }}{{ t }}", {"s": " ", "t": {"a": 1}}, ' {"a": 1}'),
        ("{% for x in n %}{{ x }}{% endfor %}", {"n": [5]}, "5"),
        (" {{ n }} ", {"n": 5}, 5),
        (" {{ n }} ", {"n": " "}, " "),
        (" {{ n }} ", {"n": None}, ""),
        (" {# why #} {{ n }} {# so #} ", {"n": 5}, 5),
        (" {{ 5 }} ", {}, 5),
        (" ", {}, " "),
    ],
)
def test_what_is_a_single_expression_does_not_depend_on_the_values(
    source: str, values: dict[str, Any], value: Any
) -> None:
    filled_in = Template(source, "it", values).value(values)
    assert (filled_in, type(filled_in)) == (value, type(value))


def test_every_text_of_tweaks_is_a_template() -> None:
    tweaks = {"Model-1": {"temperature": "{{ config.t }}", "stop": ["{{ config.t }}!"], "seed": 7}}
    templates = NestedTemplates(tweaks, "the tweaks", ["config"])
    assert templates.value({"config": {"t": 0.5}}) == {"Model-1": {"temperature": 0.5, "stop": ["0.5!"], "seed": 7}}
    assert [template.what for template in templates.templates] == [
        "the tweaks.Model-1.temperature",
        "the tweaks.Model-1.stop[0]",
    ]
    with pytest.raises(BadTemplateError, match=r"The tweaks\.Model-1\.stop uses oops"):
        NestedTemplates({"Model-1": {"stop": "{{ oops }}"}}, "the tweaks", ["config"])
