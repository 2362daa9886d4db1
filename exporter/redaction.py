"""Taking secrets out of texts that others have a part in. Pure.

A failure's text is cleaned once, where it is made of the server's words; each log line is as well, as
the last line of defence.
"""

import html
import re
from collections.abc import Iterable
from urllib.parse import unquote

MASK = "***"
_SHORTEST_SECRET = 4
"""Characters; taking shorter ones out would make holes in innocent words."""
_LAYERS = 3
"""How often a text may have been encoded for a URL or a page, one upon the other."""

_SIGNED_QUERY = re.compile(
    r"""\?[^\s"'<>]*\b(?:signature|access_key_id|secret_access_key)=[^\s"'<>]*""", re.IGNORECASE
)
_SIGNED_FIELD = re.compile(
    r"""\b(signature|access_key_id|secret_access_key)(["']?\s*[=:]\s*["']?)[^\s&"',}]+""",
    re.IGNORECASE,
)


class Redactor:
    """Takes secrets out of texts, however URLs, pages and reprs spell them."""

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
        self._forms = tuple(sorted(forms, key=len, reverse=True))

    def clean(self, text: str) -> str:
        """Give the text without known secrets, signatures and key ids. One that holds a secret in
        an encoded form comes back decoded."""
        decoded = text
        for _ in range(_LAYERS + 1):
            if any(form in decoded for form in self._forms):
                text = decoded = self._masked(decoded)
            decoded = html.unescape(unquote(decoded))
        text = _SIGNED_QUERY.sub(f"?{MASK}", text)
        return _SIGNED_FIELD.sub(rf"\1\2{MASK}", text)

    def _masked(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASK)
        return text
