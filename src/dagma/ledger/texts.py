"""Which words of inputs, answers and errors the ledger keeps."""

import re
from collections.abc import Sequence
from typing import Literal, get_args

from dagma.ledger.errors import LedgerSettingsError

Keep = Literal["full", "redacted", "none"]
ERROR_MESSAGE_CHARACTERS = 1000

# No run of characters is tried again and again from each place in it: a run that another match could start within is
# bounded, else a text made for it would take the square of its length.
# Its first two letters come first, which makes the search three times as fast.
NAME = (
    r"(?=[acepst][aceinopruw])(?:(?:api|access|account|secret|private|signing|encryption)[-_ ]?key|passphrase|password"
    r"|passwd|pwd|secret|token|credentials?|authorization)"
)
SCHEME = r"(?:bearer|basic|digest|token|api-?key|key)\s{1,8}"
VALUE = rf"""\\{{0,3}}"[^"\n]{{4,200}}"|\\{{0,3}}'[^'\n]{{4,200}}'|[\\"']{{0,4}}(?:{SCHEME})?[^\s"',;&]{{4,}}"""
# As people and models write them: no-break spaces and hyphens of typography among them.
SPACE = " \\u00a0\\u202f"
DASH = "\\u2010-\\u2013-"

SECRETS: tuple[tuple[str, str], ...] = (
    ("[private key]", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"),
    ("[token]", r"(?<![A-Za-z0-9])eyJ[\w-]{8,1000}+\.[\w-]{8,}+\.[\w-]*"),
    ("[token]", r"(?i)\b(?:bearer|basic)\s+(?=[\w.~+/=-]*(?:\d|(?-i:[a-z][A-Z])))[\w.~+/=-]{12,}"),
    ("[token]", r"(?i)\bbearer\s+[\w.~+/=-]{20,}"),
    ("[key]", r"(?<![A-Za-z0-9])(?:sk|pk|rk|gsk|hf|xai|gh[opsu]|github_pat|glpat|xox[abprs])[-_][\w-]{12,}"),
    ("[key]", r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[A-Z0-9]{16}\b|AIza[\w-]{30,})"),
    # Whatever stands before the name, as in OPENAI_API_KEY=... and accessToken: "...".
    ("[key]", rf"(?i){NAME}[\\\"']{{0,4}}\s{{0,8}}[:=]\s{{0,8}}(?:{VALUE})"),
    # To the last @ of the host's part: a password may hold one, and a user's name may be missing.
    ("://[login]@", r"://[^\s/@:\"'<>]*:[^\s/\"'<>]+@"),
)
"""Replacement and pattern of each kind of credential. Error messages lose these under every setting."""

PERSONAL: tuple[tuple[str, str], ...] = (
    ("[email]", r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
    ("[iban]", rf"\b[A-Z]{{2}}\d{{2}}(?:[{SPACE}]?[A-Z0-9]{{4}}){{3,7}}(?:[{SPACE}]?[A-Z0-9]{{1,3}})?\b"),
    ("[iban]", rf"\bNO\d{{2}}(?:[{SPACE}]?\d{{4}}){{2}}[{SPACE}]?\d{{3}}\b"),  # the shortest
    # No decimals, such as 0.8333333333333334.
    ("[card]", rf"(?<!\d\.)\b\d(?:[{SPACE}{DASH}]?\d){{12,18}}\b"),
    ("[phone]", rf"(?<![\w.])(?:\+|00)\d(?:[{SPACE}().{DASH}/]{{0,2}}\d){{6,14}}\b"),
    ("[phone]", rf"(?<!\w)\(?\d{{3}}\)?[{SPACE}.{DASH}]\d{{3}}[{SPACE}.{DASH}]\d{{4}}\b"),
    # Within a country: 0170 1234567, (020) 7946 0958, 06.12.34.56.78. What begins with a date is none.
    (
        "[phone]",
        rf"(?<![\w.,:/{DASH}])(?!\d\d[./-]\d\d[./-]\d{{4}}\b)\(?0[1-9](?:[{SPACE}()/{DASH}]{{0,2}}\d){{7,10}}\b",
    ),
    ("[phone]", r"(?<![\w.])0[1-9](?:\.\d\d){4}\b"),
)
"""Replacement and pattern of what tells people apart. What has no fixed shape, such as a name, is not found."""


class TextPolicy:
    """The setting `texts`, applied."""

    def __init__(self, keep: str = "redacted", patterns: Sequence[str] = ()):
        """Choose what to keep.

        Args:
            keep: `full` keeps inputs and answers word for word, `redacted` without credentials and without what looks
                like an e-mail address, phone, card or account number, `none` keeps hashes only.
            patterns: Further regular expressions whose matches are replaced by `[redacted]`.

        Raises:
            LedgerSettingsError: Another word than these three, or a pattern that can't be used.
        """
        if keep not in get_args(Keep):
            raise LedgerSettingsError(f"DAGMA_LEDGER_TEXTS is {keep!r}. Set it to one of: {', '.join(get_args(Keep))}.")
        self.keep = keep
        try:
            own = [("[redacted]", re.compile(pattern)) for pattern in patterns]
        except re.error as error:
            raise LedgerSettingsError(f"DAGMA_LEDGER_REDACT is not a regular expression: {error}.") from None
        if any(pattern.search("") for _, pattern in own):
            raise LedgerSettingsError("DAGMA_LEDGER_REDACT matches an empty text, so everywhere. Write + for *.")
        self._secrets = [(label, re.compile(pattern)) for label, pattern in SECRETS]
        self._all = [*own, *self._secrets, *((label, re.compile(pattern)) for label, pattern in PERSONAL)]

    def of_text(self, text: str | None) -> str | None:
        """Give what may be kept of an input or an answer."""
        if text is None or self.keep == "none":
            return None
        return storable(text if self.keep == "full" else _replace(self._all, text))

    def of_error(self, message: str | None) -> str | None:
        """Give what may be kept of an error's message, which can quote inputs and answers.

        Returns:
            At most 1,000 characters of it, always without credentials; None if texts are not kept at all.
        """
        if message is None or self.keep == "none":
            return None
        # Cut twice: before, so that a huge body costs nothing; after, since replacements can be longer.
        cut = message[: 4 * ERROR_MESSAGE_CHARACTERS]
        kept = storable(_replace(self._secrets if self.keep == "full" else self._all, cut))
        return kept if len(kept) <= ERROR_MESSAGE_CHARACTERS else kept[: ERROR_MESSAGE_CHARACTERS - 1] + "…"


def storable(text: str) -> str:
    """Replace what PostgreSQL's text can't hold, NUL and halves of surrogate pairs, by U+FFFD or `?`."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def _replace(patterns: Sequence[tuple[str, re.Pattern[str]]], text: str) -> str:
    for label, pattern in patterns:
        text = pattern.sub(label, text)
    return text
