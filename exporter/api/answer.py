"""What all answers of the API have in common: whether it is an answer at all, refusals, how values
are written. Pure.

No error message quotes the answer: it holds people's command lines. Positions and field names only.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from exporter.api.lenient import rewritten
from exporter.api.refusal import INTERNAL_CODE, REQUEST_CODE, refusal_of
from exporter.errors import PayloadError, RefusedError

LONGEST_NAME = 200  # characters, with the mark of one that was cut
UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError)
_HTTP_OK = 200
_CODES: Mapping[int | None, int] = {
    **dict.fromkeys({*range(400, 500)} - {401, 403, 407, 429}, REQUEST_CODE),
    500: INTERNAL_CODE,
}
"""By HTTP status of a problem document: as if it were which code."""
_CUT = "…"
_LONGEST_MESSAGE = 200  # characters of the server's own words in an error


class Reply(msgspec.Struct):
    """An answer of any call; each call has its own fields beside."""

    ret_code: Any = None


class _Verdict(msgspec.Struct):
    ret_code: Any = None
    message: Any = None
    # Of a problem document (RFC 9457), as the server's framework gives it in place of the above:
    title: Any = None
    detail: Any = None
    status: Any = None


_VERDICT = msgspec.json.Decoder(_Verdict)

Decoded = TypeVar("Decoded")
Replied = TypeVar("Replied", bound=Reply)


def understood(
    decoder: "msgspec.json.Decoder[Replied]", body: bytes, scrub: Callable[[str], str] = str
) -> Replied:
    """The answer in a body. ``scrub`` takes secrets out of the server's own words before they go into
    an error. Raises RefusedError where ``find_refusal`` finds one, else PayloadError."""
    try:
        answer = read(decoder, body)
    except UNREADABLE as error:
        raise (find_refusal(body, scrub=scrub) or unreadable(body, error)) from None
    if whole_number(answer.ret_code) != 0:
        raise find_refusal(body, scrub=scrub) or bad("the answer has no ret_code")
    return answer


def find_refusal(
    body: bytes, *, http_status: int = _HTTP_OK, scrub: Callable[[str], str] = str
) -> RefusedError | None:
    """The API's own error in an answer that is no page, whatever its HTTP status: a ``ret_code``
    other than 0, or a problem document that says that the request is not understood, or that the server
    has failed at it."""
    try:
        verdict = read(_VERDICT, body)
    except UNREADABLE:
        return None
    ret_code = whole_number(verdict.ret_code)
    if ret_code:
        return _refused(ret_code, f"code {ret_code}", (verdict.message,), scrub)
    status = http_status if http_status != _HTTP_OK else whole_number(verdict.status)
    words = (verdict.title, verdict.detail)
    code = _CODES.get(status) if ret_code is None else None
    if code is not None and any(isinstance(word, str) for word in words):
        return _refused(code, f"HTTP status {status}", words, scrub)
    return None


def read(decoder: "msgspec.json.Decoder[Decoded]", body: bytes) -> Decoded:
    """Strictly, else leniently. Raises one of ``UNREADABLE``."""
    try:
        return decoder.decode(body)
    except UNREADABLE:
        pass  # unless the lenient reading fails as well
    return decoder.decode(rewritten(body))


def _refused(
    ret_code: int, said: str, words: Sequence[Any], scrub: Callable[[str], str]
) -> RefusedError:
    kind = refusal_of(ret_code)
    text = f"the API refused the call with {said} ({kind.meaning})"
    shown = _one_line(scrub(": ".join(word for word in words if isinstance(word, str) and word)))
    return RefusedError(
        ret_code,
        kind.reason,
        f"{text}: {shown}" if shown else text,
        retryable=kind.retryable,
        advice=kind.advice,
    )


def _one_line(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text)
    words = " ".join(printable.split())
    return words if len(words) <= _LONGEST_MESSAGE else words[: _LONGEST_MESSAGE - 1] + _CUT


def unreadable(body: bytes, error: Exception) -> PayloadError:
    """What is said of a body that could not be read."""
    if isinstance(error, msgspec.ValidationError):  # its text has types and a path, no content
        return bad(f"the answer is not of the shape of a list: {error}")
    head = body[:64].lstrip()
    if not head:
        what = "the answer is empty"
    elif head.startswith(b"<"):
        what = "the answer is HTML or XML, not JSON"
    else:
        what = f"the answer of {len(body)} bytes is not valid JSON"
    return PayloadError(
        "payload",
        what,
        retryable=True,  # cut off on the way, or a gateway's page
        advice="Check that the account's endpoint is the API's address and that no proxy or "
        "gateway answers in its place.",
    )


def bad(what: str) -> PayloadError:
    """What is said of an answer that cannot be counted from."""
    return PayloadError(
        "payload",
        what,
        retryable=False,
        advice="Nothing is counted from such an answer. If it keeps happening, compare the answer "
        "with the API's documentation and report it.",
    )


def shortened(name: str) -> str:
    """A name as it may become a label's value, with a mark where it had to be cut."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - len(_CUT)] + _CUT


def as_text(value: Any) -> str:
    """A name, which a sibling call may write as a number."""
    if isinstance(value, str):
        return value
    number = None if isinstance(value, bool) else whole_number(value)
    return "" if number is None else str(number)


def total_count_of(value: Any) -> int | None:
    """How many the server says there are; None where it tells no number, as with -1 or ``unknown``."""
    count = whole_number(value)
    return count if count is not None and count >= 0 else None


def whole_number(value: Any) -> int | None:
    """A whole number, however it is written: 12, 12.0, "12", " 12 ", "12.0"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:  # of text that is none, or of thousands of digits
            return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else None
    return value if isinstance(value, int) and abs(value) < 2**63 else None
