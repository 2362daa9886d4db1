"""Secrets are taken out of texts, however they are spelled there."""

import html
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.redaction import Redactor

SECRET = "sEcr3t/with+signs=="
SPELLINGS: list[Callable[[str], str]] = [
    str,
    lambda text: quote(text, safe=""),
    quote,
    lambda text: re.sub("%..", lambda octet: octet[0].lower(), quote(text, safe="")),
    lambda text: quote(quote(text, safe=""), safe=""),
    lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    quote_plus,
    lambda text: text.replace("/", "%2f"),
    lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    lambda text: text.replace("+", " "),
    lambda text: text.rstrip("="),
    repr,
    lambda text: "".join(f"&#{ord(character)};" for character in text),
    lambda text: quote(html.escape(text.replace("/", "&#x2F;"))),
    lambda text: text.replace("/", r"\/"),
    lambda text: quote(text.replace("/", r"\/")),
    lambda text: "".join(rf"\u{ord(character):04x}" for character in text),
    lambda text: b64encode(text.encode()).decode(),
    lambda text: urlsafe_b64encode(text.encode()).decode(),
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex().upper(),
    lambda text: b64encode(quote(text, safe="").encode()).decode(),
]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("GET /api/job/list?zone=a&signature=abc%253D HTTP/1.1", "GET /api/job/list?*** HTTP/1.1"),
        ("at /api/job/list?access_key_id=K&zone=a (x)", "at /api/job/list?*** (x)"),
        ("zone=a&signature=abc&x=1", "zone=a&signature=***&x=1"),
        ("{'signature': 'abc', 'x': 1}", "{'signature': '***', 'x': 1}"),
        ('{"access_key_id": "abc"}', '{"access_key_id": "***"}'),
        ("secret_access_key: abc", "secret_access_key: ***"),
        ("signature_method=HmacSHA256", "signature_method=HmacSHA256"),
        ("?zone=a", "?zone=a"),
    ],
)
def test_what_signs_a_call_is_taken_out(text: str, clean: str) -> None:
    assert Redactor().clean(text) == clean


def test_secrets_are_learned_and_short_ones_are_not() -> None:
    redactor = Redactor(["abc"])
    redactor.learn(["hushhush", "hushhush-longer"])
    assert redactor.clean("abc hushhush hushhush-longer") == "abc *** ***"


@pytest.mark.parametrize("number", range(len(SPELLINGS)))
def test_a_secret_is_found_in_every_spelling(number: int) -> None:
    spelled = SPELLINGS[number](SECRET)
    clean = Redactor([SECRET]).clean(f"signing with [{spelled}] failed: 100% wrong")
    assert clean.startswith("signing with [")
    assert "***" in clean
    assert clean.endswith("] failed: 100% wrong")
    assert not {"sEcr3t", "with+", "%73", "&#115;"} & set(clean.replace("[", "] ").split("]"))


@pytest.mark.parametrize("before", ["", "i", "id", "id:", "a query=1&secret="])
@pytest.mark.parametrize("after", ["", "\n", " and more"])
@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
def test_a_secret_is_found_in_a_longer_text_in_base64(
    encode: Callable[[bytes], bytes], before: str, after: str
) -> None:
    """Such as the user and the password of a header, which do not begin where three bytes do."""
    encoded = encode((before + SECRET + after).encode()).decode()
    clean = Redactor([SECRET]).clean(f"it was sent as Basic {encoded}")
    begin = len(before.encode()) * 4 // 3 + 1
    secret_part = encoded[begin : begin + len(SECRET) * 4 // 3 - 2]
    assert not any(secret_part[at : at + 4] in clean for at in range(len(secret_part) - 3))


@given(
    st.text("ab%/+&;= 2F5", min_size=4),
    st.sampled_from(SPELLINGS[:3] + SPELLINGS[4:6]),
    st.text("xy%&;#25", max_size=5),
)
def test_no_spelling_of_any_secret_stays(
    secret: str, spell: Callable[[str], str], around: str
) -> None:
    assert spell(secret) not in Redactor([secret]).clean(f"{around}[{spell(secret)}]{around}")


def test_what_holds_no_secret_stays_as_it_is() -> None:
    text = "queue%20one &amp; 100% of %2F"
    assert Redactor([SECRET]).clean(text) == text


def test_half_a_pair_beside_a_secret_stays_an_escape() -> None:
    assert Redactor([SECRET]).clean(rf"\ud800 {SECRET}").encode() == rb"\ud800 ***"
