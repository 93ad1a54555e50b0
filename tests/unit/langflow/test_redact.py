import json
from base64 import b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagma.langflow.redaction import Redactor, bare_url

SECRET = "sk-a/b+c secret"


@given(
    before=st.text(max_size=70_000 // 100),
    repeats=st.integers(min_value=1, max_value=6000),
    form=st.sampled_from([SECRET, quote(SECRET, safe=""), b64encode(SECRET.encode()).decode()]),
)
def test_an_excerpt_is_bounded_and_holds_no_part_of_a_secret(before: str, repeats: int, form: str):
    text = Redactor([SECRET]).excerpt((before + form * repeats).encode("utf-8", errors="surrogatepass"))
    assert len(text) <= 500
    assert form[:8] not in text.replace(before, "")


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_a_secret_that_json_escapes_is_hidden(ensure_ascii: bool):
    secret = 'pä"ss\\word'
    body = json.dumps({"detail": f"No login with {secret}."}, ensure_ascii=ensure_ascii)
    assert Redactor([secret]).excerpt(body) == '{"detail": "No login with ***."}'


def test_an_excerpt_is_one_line():
    assert "\n" not in Redactor([]).excerpt("a\nb\x00c")


def test_a_short_value_is_no_secret():
    assert Redactor(["1"]).text("11") == "11"


def test_a_url_loses_user_and_query():
    assert bare_url("https://user:pass@host:8443/path?key=1#x") == "https://host:8443/path"


@pytest.mark.parametrize("url", ["http://user:pass@host:notaport/path", "http://[user:pass@broken"])
def test_a_url_that_can_not_be_read_is_not_shown(url: str):
    assert "pass" not in bare_url(url)


@given(url=st.text())
def test_no_url_breaks_the_reader(url: str):
    assert "?" not in bare_url(url).partition("://")[2].split("/")[0]
