"""Rewrites JSON that a strict parser refuses, so that the parser accepts it. Pure.

Servers write what no standard allows: raw tabs and newlines in texts, backslashes that escape nothing,
NaN, numbers beyond measure, halves of surrogate pairs, bytes that are no UTF-8. Mostly it is in fields
that nobody reads, and there it must do no harm. What is cut off, or no JSON at all, is refused here, too.
"""

import json
import re
from typing import Any

import msgspec

_LONGEST_NUMBER = 19  # characters of a whole number that msgspec surely writes
_BACKSLASH = re.compile(r"\\([\"\\/bfnrt]|u[0-9a-fA-F]{4})?")
"""With what it escapes, if anything."""


def rewritten(body: bytes) -> bytes:
    """The same JSON as the standard has it. Raises ValueError or RecursionError if it is none.

    What cannot be written in UTF-8 becomes an escape such as ``\\udce4``, so that different names stay
    different; a number that is none, or is infinite, becomes null.
    """
    text = body.decode("utf-8-sig", "surrogateescape")
    text = _BACKSLASH.sub(lambda found: found[0] if found[1] else r"\\", text)
    return msgspec.json.encode(_clean(json.loads(text, strict=False, parse_int=_number)))


def _number(text: str) -> int | float:
    return int(text) if len(text) <= _LONGEST_NUMBER else float(text)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(each) for name, each in value.items()}
    return value  # msgspec writes null for a float that is not finite
