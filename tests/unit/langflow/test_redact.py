from base64 import b64encode
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from dagma.langflow.redact import Redactor, bare_url

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


def test_an_excerpt_is_one_line():
    assert "\n" not in Redactor([]).excerpt("a\nb\x00c")


def test_a_short_value_is_no_secret():
    assert Redactor(["1"]).text("11") == "11"


def test_a_url_loses_user_and_query():
    assert bare_url("https://user:pass@host:8443/path?key=1#x") == "https://host:8443/path"


def test_a_url_with_a_nonsense_port_is_still_shown():
    assert bare_url("http://host:notaport/path") == "http://host/path"
