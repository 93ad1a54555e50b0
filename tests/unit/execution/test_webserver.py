import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from dagma.execution import webserver

DOCUMENTS = [text for text in vars(webserver).values() if isinstance(text, str) and "($" in text] + [webserver.QUEUE]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: parse(document).definitions[-1].name.value)
def test_dagster_answers_what_is_asked(document: str) -> None:
    assert validate(create_schema().graphql_schema, parse(document)) == []
