"""What the simulated cloud sends back, and how it is sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Ending(StrEnum):
    """What becomes of the connection once the first part of an answer is sent."""

    WHOLE = "whole"
    """Everything is sent, the connection stays."""
    CLOSE = "close"
    RESET = "reset"
    STALL = "stall"
    """Nothing more is sent, the connection stays."""
    DRIP = "drip"
    """The rest goes a byte at a time."""
    FLOOD = "flood"
    """The filler goes out without end."""


class Part(StrEnum):
    """How much of an answer is sent before its ending."""

    NOTHING = "nothing"
    HEAD = "head"
    HALF = "half"
    """The head and half of the body."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an answer travels."""

    ending: Ending = Ending.WHOLE
    first: Part = Part.NOTHING
    """Sent at once; of no meaning with ``WHOLE``."""
    delay_seconds: float = 0.0
    """Before the first byte."""
    gap_seconds: float = 1.0
    """Between two bytes of a drip."""
    filler: bytes = b""
    """Of a flood."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. The server adds ``Date``, and ``Content-Length`` where there is none."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    delivery: Delivery = field(default_factory=Delivery)
    bare: bool = False
    """The body goes out alone, without status line and headers."""


JSON_HEADERS: Mapping[str, str] = {"Content-Type": "application/json"}
"""Without more: the vendor's own client reads nothing else as JSON."""
PROBLEM_HEADERS: Mapping[str, str] = {"Content-Type": "application/problem+json"}
HTML_HEADERS: Mapping[str, str] = {"Content-Type": "text/html"}


def json_answer(value: Any, *, status: int = 200, escaped: bool = False) -> Answer:
    """``value`` as JSON; ``escaped`` keeps it within ASCII."""
    text = json.dumps(value, ensure_ascii=escaped, separators=(",", ":"))
    try:
        body = text.encode()
    except UnicodeEncodeError:  # a lone surrogate: JSON can say it, UTF-8 cannot
        return json_answer(value, status=status, escaped=True)
    return Answer(status, JSON_HEADERS, body)


def html_answer(status: int, title: str) -> Answer:
    """A page such as gateways send."""
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\r\n"
    return Answer(status, HTML_HEADERS, body.encode())
