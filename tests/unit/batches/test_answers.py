"""Keys, templates and output columns, whatever stands in them."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagma.batches.json_answers import columns_of, objects_in
from dagma.batches.output_columns import AnswerFault, OutputColumns
from dagma.batches.row_templates import RowTemplates
from dagma.batches.values import fitting, key_text, kind_of, plain
from dagma.calls.answer import Answer

FEELINGS = ("positive", "very positive", "negative")
FEW = settings(max_examples=60)
LABELS = OutputColumns.of({"label": {"enum": ["positive", "negative"]}, "score": {"type": "integer", "maximum": 5}})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NO_INTEGER = "Input should be a valid integer, unable to parse string as an integer"
VALUES = JSON | st.floats() | st.dates() | st.decimals(allow_nan=False) | st.uuids() | st.binary() | st.datetimes()


def read(text: str) -> dict[str, Any]:
    return columns_of(Answer(text=text), LABELS)


@FEW
@given(VALUES)
def test_every_value_can_be_kept(value: Any) -> None:
    kept = plain(value)
    json.dumps(kept, allow_nan=False)
    if isinstance(kept, str):
        kept.encode()
        assert "\x00" not in kept
    for kind in ("integer", "number", "boolean", "text"):
        assert kind_of(fitting(kept, kind)) in (None, kind)  # type: ignore[arg-type]


@FEW
@given(st.integers(min_value=-(2**53), max_value=2**53))
def test_a_key_is_the_same_as_number_and_as_text(number: int) -> None:
    assert key_text(number) == key_text(float(number)) == key_text(f" {number} ")


@FEW
@given(st.text(), st.text())
def test_two_keys_are_the_same_only_where_their_texts_are(one: str, other: str) -> None:
    if "\x00" in one + other or not one.strip() or not other.strip():
        return
    if key_text(one) == key_text(other) and "?" not in key_text(one):
        assert one.strip() == other.strip()


@FEW
@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=4), st.text())
def test_a_template_gives_the_same_question_for_the_same_row(row: dict[str, Any], text: str) -> None:
    templates = RowTemplates("{{ row.text }} {{ row | length }}")
    assert templates.fill({**row, "text": text}) == templates.fill({"text": text, **row, "text": text})  # noqa: F601


def test_a_tweak_that_a_row_has_no_value_for_is_an_empty_text() -> None:
    templates = RowTemplates("a", tweaks={"A-1": {"name": "{{ row.name }}", "size": "{{ row.size }}", "off": None}})
    question = templates.fill({"name": None, "size": float("nan")})
    assert question.tweaks == {"A-1": {"name": "", "size": "", "off": None}}


@FEW
@given(
    st.sampled_from(["positive", "negative"]),
    st.integers(-(2**63) + 1, 5),
    st.dictionaries(st.text(), JSON, max_size=3),
)
def test_what_fits_is_read_from_anywhere_in_an_answer(label: str, score: int, more: dict[str, Any]) -> None:
    expected = {"label": label, "score": score}
    text = json.dumps({**more, **expected})
    for said in (text, f"```json\n{text}\n```", f"Sure! Here it is:\n{text}\nAnything else?"):
        assert read(said) == expected
    assert columns_of(Answer(text=None, outputs={"Data-1": {**more, **expected}}), LABELS) == expected


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_missing_brackets_at_the_end_are_added(missing: int) -> None:
    text = json.dumps({"outer": [{"inner": "a { b"}]})
    assert list(objects_in(text[:-missing])) == [{"outer": [{"inner": "a { b"}]}]


@FEW
@given(st.text())
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    try:
        label = read(text)["label"]
    except AnswerFault as fault:
        label, reason = None, str(fault)
    assert label in ("positive", "negative") or reason


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ('{"label": "meh", "score": 1}', 'label is "meh": none of "positive", "negative".'),
        ('{"label": "positive"}', "score is missing."),
        ('{"score": 9}', "label is missing. score is 9: more than 5."),
        ('{"label": "positive", "score": "many"}', f'score is "many": {NO_INTEGER}.'),
        ('{"label": "positive", "score": true}', f"score is true: {NO_INTEGER}."),
        ("positive", "There is no JSON object in it."),
        ('{"label": "positive", "score": 1, "why": "cut of', "There is no JSON object in it."),
        ('<think>Maybe {"label": "positive", "score": 1}', "It ends inside <think>, before any answer."),
    ],
)
def test_a_fault_is_named(said: str, fault: str) -> None:
    with pytest.raises(AnswerFault) as raised:
        read(said)
    assert str(raised.value) == fault


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ('{"label": "Positive.", "score": "3"}', 3),
        ('{"label":"positive","score":4.0', 4),
        ('{"label":"positive","score":4,"why":"It\nsays so."}', 4),
        ('Maybe {"label": "negative", "score": 1}?</think>{"label":"positive","score":4}', 4),
    ],
)
def test_what_plainly_means_a_value_is_taken_as_it(said: str, score: int) -> None:
    assert read(said) == {"label": "positive", "score": score}


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("string", "..."),
        ("string", '{"said": "..."}'),
        ("string", "{question}"),
        ("integer", "{question}"),
        ({"type": "string", "optional": True}, '{"said": "..." or null}'),
        ({"items": "string"}, '{"said": ["..."]}'),
    ],
)
def test_the_form_of_the_instructions_is_no_answer(column: Any, said: str) -> None:
    columns = OutputColumns.of({"said": column})
    with pytest.raises(AnswerFault, match=r"the placeholder|repeats the form"):
        columns_of(Answer(text=said.replace("{question}", f"Hello?\n\n{columns.instructions('')}")), columns)


def test_an_answer_beside_the_repeated_question_is_taken() -> None:
    columns = OutputColumns.of({"stars": "integer"})
    assert columns_of(Answer(text=f'{columns.instructions("")}\n{{"stars": 4}}'), columns) == {"stars": 4}
    assert columns_of(Answer(text='{"stars": 1}'), columns) == {"stars": 1}, "as in the form, and an answer"


def test_one_column_needs_no_json() -> None:
    label = OutputColumns.of({"label": {"enum": ["positive", "negative"]}})
    for said in (" Negative. ", "{label: negative}", "<think>Positive? It is broken.</think>\n\nNegative."):
        assert columns_of(Answer(text=said), label) == {"label": "negative"}
    words = OutputColumns.of({"words": {"items": "string"}})
    assert columns_of(Answer(text='["a"]'), words) == {"words": ["a"]}


@pytest.mark.parametrize("said", ['{"why": "It was cut of', "```json\n{'why': 'It is.'}\n```", '{why: "It is."}'])
def test_an_object_that_can_not_be_read_is_no_value_of_the_only_column(said: str) -> None:
    with pytest.raises(AnswerFault, match="can't be read"):
        columns_of(Answer(text=said), OutputColumns.of({"why": "string"}))


def test_the_only_column_may_be_missing_where_it_is_optional() -> None:
    label = OutputColumns.of({"label": {"enum": ["good", "bad"], "optional": True}})
    assert label.instructions("Is it good or bad?") == "Answer with one of: good, bad, null."
    assert columns_of(Answer(text="null"), label) == {"label": None}


def test_lists_and_optional_columns_are_checked_too() -> None:
    columns = OutputColumns.of({"words": {"items": "string"}, "note": {"type": "string", "optional": True}})
    assert columns_of(Answer(text='{"words": ["a"]}'), columns) == {"words": ["a"], "note": None}
    with pytest.raises(AnswerFault, match="words is 1: Input should be a valid string"):
        columns_of(Answer(text='{"words": [1]}'), columns)


@pytest.mark.parametrize(
    ("values", "said", "value"),
    [
        (FEELINGS, "This review is Positive.", "positive"),
        (FEELINGS, "very positive", "very positive"),
        (FEELINGS, "It is not positive.", None),
        (FEELINGS, "Positive, but also negative.", None),
        (FEELINGS, "The review is positive because the battery lasts for many days and it is light.", None),
        (FEELINGS, "nonpositive", None),
        ("abc", "b", "b"),
        ("abc", "B.", "b"),
        ("abc", "The answer is B.", None),
        ("abc", "This is a hard question.", None),
        ("abc", "a or b", None),
        ("abc", "B, rather than A", None),
    ],
)
def test_a_short_sentence_with_one_value_says_it_and_a_value_of_one_letter_stands_alone(
    values: Iterable[str], said: str, value: str | None
) -> None:
    column = OutputColumns.of({"label": {"enum": list(values)}})
    if value is None:
        with pytest.raises(AnswerFault, match="none of"):
            columns_of(Answer(text=said), column)
    else:
        assert columns_of(Answer(text=said), column) == {"label": value}


def test_the_model_is_told_the_form_of_the_answer() -> None:
    told = RowTemplates("{{ row.text }}", output_format=LABELS.instructions("")).fill({"text": "Rate this."}).input
    assert told == (
        'Rate this.\n\nAnswer with JSON only, in this form: {"label": "positive" or "negative", "score": 1}\n'
        "score: at most 5."
    )
    lists = OutputColumns.of({"words": {"items": "string"}, "why": {"type": "string", "description": "In a word."}})
    assert lists.instructions("") == (
        'Answer with JSON only, in this form: {"words": ["...", ...], "why": "..."}\nwhy: In a word.'
    )


def test_a_question_that_names_the_values_of_the_only_column_needs_no_more() -> None:
    label = OutputColumns.of({"label": {"enum": ["good", "bad"]}})
    assert label.instructions("Is this good or bad? {{ row.text }}") == ""
    assert label.instructions("{{ row.text }}") == "Answer with one of: good, bad."
    assert OutputColumns.of({"good": "boolean"}).instructions("Is this good?") != ""


def test_the_format_stands_where_a_template_places_it() -> None:
    placed = RowTemplates("{{ output_format }} {{ row.text }}", output_format="JSON!").fill({"text": "Rate."})
    assert placed.input == "JSON! Rate."


@pytest.mark.parametrize("column", ["string", {"enum": ["a"]}, {"items": "string"}])
def test_a_value_that_can_be_read_and_is_too_deep_to_be_shown_is_a_fault(column: Any) -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(AnswerFault, match=r"It is nested too deeply\."):
        columns_of(Answer(text=None, outputs={"Data-1": {"said": value}}), OutputColumns.of({"said": column}))


def test_an_answer_that_is_nested_too_deeply_is_a_fault_and_no_error() -> None:
    column = OutputColumns.of({"n": "integer"})
    with pytest.raises(AnswerFault, match="valid integer"):
        column.checked({"n": "[" * 100_000})


@pytest.mark.parametrize(
    ("question", "is_told"),
    [
        ("Is it in or out? {{ row.text }}", False),
        ("{{ row.text }} Answer with one word about anything.", True),
        ("{{ row.in }} or {{ row.out }}?", True),
    ],
)
def test_values_are_told_unless_the_question_names_each_as_a_word(question: str, is_told: bool) -> None:
    told = OutputColumns.of({"place": {"enum": ["in", "out"]}}).instructions(question)
    assert told == ("Answer with one of: in, out." if is_told else "")


def test_a_stored_text_that_was_never_a_list_is_given_as_it_is() -> None:
    tags = OutputColumns.of({"tags": {"type": "array", "items": "string"}})
    assert [tags.restored({"tags": stored})["tags"] for stored in ('["a"]', "a, b", None)] == [["a"], "a, b", None]
