"""Removing secrets from texts that come partly from others. Pure.

A failure's text is cleaned once, where it is made of the server's words; each log line is as well, as
the last line of defence.
"""

import html
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote

MASK = "***"
_SHORTEST_SECRET = 4
"""Characters; taking shorter ones out would make holes in innocent words."""
_LAYERS = 3
"""How often a text may have been encoded for a URL, a page or in JSON, one upon the other."""

_JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\\/\"]))")
_SIGNED_QUERY = re.compile(
    r"""\?[^\s"'<>]*\b(?:signature|access_key_id|secret_access_key)=[^\s"'<>]*""", re.IGNORECASE
)
_SIGNED_FIELD = re.compile(
    r"""\b(signature|access_key_id|secret_access_key)(["']?\s*[=:]\s*["']?)[^\s&"',}]+""",
    re.IGNORECASE,
)


class Redactor:
    """Takes secrets out of texts, however URLs, pages, JSON and reprs spell them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: tuple[str, ...] = ()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Know more secrets from now on."""
        forms = set(self._forms)
        for secret in secrets:
            if len(secret) >= _SHORTEST_SECRET:
                # base64's padding may be missing, and a form's + is a space.
                spelled = {secret, secret.rstrip("="), secret.replace("+", " ")}
                forms |= spelled | {repr(each)[1:-1] for each in spelled}
                forms |= {secret.encode().hex(), secret.encode().hex().upper()}
                forms.update(_in_base64(secret), _in_base64(quote(secret, safe="")))
        self._forms = tuple(sorted(forms, key=len, reverse=True))

    def clean(self, text: str) -> str:
        """Give the text without known secrets, signatures and key ids. One that holds a secret in
        an encoded form comes back decoded."""
        decoded = text
        for _ in range(_LAYERS + 1):
            if any(form in decoded for form in self._forms):
                text = decoded = self._masked(decoded)
            decoded = html.unescape(unquote(_JSON_ESCAPE.sub(_character, decoded)))
        text = _SIGNED_QUERY.sub(f"?{MASK}", text)
        return _SIGNED_FIELD.sub(rf"\1\2{MASK}", text)

    def _masked(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASK)
        return text


def _in_base64(secret: str) -> Iterator[str]:
    """How a secret looks in base64, whatever stands before and after it in the encoded text, such as a user's
    name: the characters that hold nothing but its bits."""
    octets = secret.encode()
    for before in range(3):  # three octets become four characters
        begin, end = (8 * before + 5) // 6, 8 * (before + len(octets)) // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + octets).decode()[begin:end]


def _character(escape: re.Match[str]) -> str:
    if not escape[1]:
        return escape[2]
    character = chr(int(escape[1], 16))
    # Half of a pair, which nobody could print.
    return escape[0] if "\ud800" <= character <= "\udfff" else character
