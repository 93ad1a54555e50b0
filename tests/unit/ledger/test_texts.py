import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagma.ledger import LedgerSettingsError, TextPolicy
from dagma.ledger.texts import ERROR_MESSAGE_CHARACTERS, storable

SECRETS = [
    "sk-proj-abcdefghijklmnop1234",
    "sk-ant-api03-abcdefghijklmnop",
    "ghp_abcdefghijklmnopqrstuvwxyz012345",
    "AKIAIOSFODNN7EXAMPLE",
    "xoxb-123456789012-abcdefghijkl",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "Bearer abc123def456ghi789",
    "x-api-key: 9f8e7d6c5b4a",
    '"password": "hunter22"',
    "postgresql://dagma:hunter22@db/dagma",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----",
]
PERSONAL = [
    "ada.lovelace+x@example.co.uk",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "+49 (0)30 1234 5678",
    "555-867-5309",
    "NO93 8601 1117 947",
    "0170/1234567",
    "020 7946 0958",
    "06.12.34.56.78",
    "4111\u00a01111\u00a01111\u00a01111",
    "+1\u2011555\u2011867\u20115309",
]


@pytest.mark.parametrize("secret", SECRETS + PERSONAL)
def test_redacted_texts_lose_credentials_and_what_tells_people_apart(secret: str) -> None:
    kept = TextPolicy("redacted").of_text(f"before {secret} after")
    assert kept is not None
    assert kept.startswith("before ")
    assert kept.endswith(" after")
    for part in secret.replace("postgresql://dagma:", "").split("@db")[0].split()[-1:]:
        assert part.strip('"') not in kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("OPENAI_API_KEY=abcdef12345678", "OPENAI_[key]"),
        ("access_token: abc123def456", "access_[key]"),
        ("refresh_token=abcdefgh&x=1", "refresh_[key]&x=1"),
        ('accessToken: "abcdefgh"', "access[key]"),
        ("client_secret=abcdefgh", "client_[key]"),
        ("DB_PASSWORD=hunter22", "DB_[key]"),
        ("AWS_SECRET_ACCESS_KEY=abc/def+ghi", "AWS_SECRET_[key]"),
        ('{"langflow_api_key": "abcdefgh"}', '{"langflow_[key]}'),
        (r"{\"api_key\":\"abcdefgh\"}", r"{\"[key]}"),
        ("AUTH_TOKEN='a, b; c' next", "AUTH_[key] next"),
        ("Authorization: Bearer abcdefghijklmnopqrst", "[key]"),
        ("authorization: Bearer abcdefgh next", "[key] next"),
        ("Proxy-Authorization: Basic abcdefghijkl", "Proxy-[key]"),
        ("Authorization: Token abcdefgh12345 next", "[key] next"),
        ("AccountName=dagma;AccountKey=abcdefgh==;x", "AccountName=dagma;[key];x"),
        ("sent Bearer abcdefghijklmnopqrst", "sent [token]"),
        ("redis://:hunter22secret@redis:6379/0", "redis://[login]@redis:6379/0"),
        ("postgresql://dagma:hun@ter22@db/dagma", "postgresql://[login]@db/dagma"),
    ],
)
@pytest.mark.parametrize("keep", ["redacted", "full"])
def test_error_messages_lose_credentials_however_they_are_written(keep: str, text: str, kept: str) -> None:
    assert TextPolicy(keep).of_error(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of France?",
        "The password is required; tokens: 5, total_tokens=500. Ask the bearer of the token (basic authentication).",
        "See http://localhost:3000/runs and https://example.org/@ada at 12:20, passwords: none.",
        "A basic understanding of skeletonization, tokens and secret gardens; 2026-03-10 12:20, version 1.13.0.",
        "scores: 0.8333333333333334, 12.345678901234567; from 05.06.2026 12:30 to 06/06/2026 12:30",
        "flow 3f2504e0-4f89-41d3-9a0c-0305e82c3301 took 12.5 s and 1,500 tokens",
    ],
)
def test_redacted_texts_keep_ordinary_words(text: str) -> None:
    assert TextPolicy("redacted").of_text(text) == text


def test_full_texts_are_kept_word_for_word() -> None:
    assert TextPolicy("full").of_text("mail ada@example.org") == "mail ada@example.org"


def test_none_keeps_neither_texts_nor_messages() -> None:
    policy = TextPolicy("none")
    assert policy.of_text("Paris") is None
    assert policy.of_error("the flow said: Paris") is None


def test_own_patterns_are_redacted_too() -> None:
    assert TextPolicy("redacted", [r"\bEMP-\d+\b"]).of_text("ask EMP-4711") == "ask [redacted]"


@pytest.mark.parametrize("keep", ["full", "redacted"])
def test_error_messages_are_short_and_hold_no_credential(keep: str) -> None:
    message = TextPolicy(keep).of_error("401 for Bearer abc123def456ghi789 " + "x" * 100_000)
    assert message is not None
    assert len(message) == ERROR_MESSAGE_CHARACTERS
    assert "abc123" not in message


@pytest.mark.parametrize(("keep", "patterns"), [("some", []), ("redacted", ["("]), ("redacted", [r"\d*"])])
def test_a_setting_that_can_not_be_read_is_refused(keep: str, patterns: list[str]) -> None:
    with pytest.raises(LedgerSettingsError, match=r"Set it to one of|not a regular expression|an empty text"):
        TextPolicy(keep, patterns)


@given(st.text())
def test_any_text_becomes_one_that_postgresql_takes(text: str) -> None:
    kept = storable(text)
    assert "\x00" not in kept
    assert len(kept.encode("utf-8").decode("utf-8")) == len(text)


@given(st.text(alphabet="0123456789 .-+@eyJ:/sk_"))
def test_redacting_ends_for_texts_made_to_confuse_it(text: str) -> None:
    assert TextPolicy("redacted").of_text(text * 20) is not None


def test_redacting_ends_for_a_long_text_made_of_beginnings() -> None:
    # Minutes, where each beginning is followed to the end of the text.
    for beginning in ("eyJaaaaaaaa-", "eyJaaaaaaaa.", "sk-", "://a:", "token", "password: '", "Bearer ", "a.b-"):
        assert TextPolicy("redacted").of_text(beginning * 100_000) is not None
