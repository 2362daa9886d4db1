"""How a command line writes a dialect: ``NAME``, ``KEY=VALUE,...`` or ``NAME,KEY=VALUE,...``.

A name stands for one of ``NAMED``; what follows differs from it. Keys are the switches' names, or
the short ones of ``KEYS``. Switches are ``yes`` or ``no``, the values of a set are joined by
``+`` (or ``any`` and ``none``), a zone is ``utc`` or ``+08:00``.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from enum import StrEnum
from typing import Any, TypeVar

from exporter.simulator.dialect import DEPLOYMENTS, DIALECTS, DOCUMENTED, LISTED_STATUSES, Dialect
from exporter.simulator.drawing import CURIOSITIES, PLAUSIBLE
from exporter.simulator.listed import Order, Transition

T = TypeVar("T")

NAMED: Mapping[str, Dialect] = {**DIALECTS, **DEPLOYMENTS}

_SHORT_TO_LONG: Mapping[str, str] = {
    "filter": "status_filter",
    "sort": "sort_keys",
    "order": "default_order",
    "depth": "depth_limit",
    "lag": "lag_seconds",
    "cache": "cache_seconds",
    "zone": "zone_offset_seconds",
}

_LONG_TO_SHORT = {long: short for short, long in _SHORT_TO_LONG.items()}
_SETS: Mapping[str, frozenset[str]] = {
    "sort_keys": frozenset(Order),
    "still_transitions": frozenset(Transition),
    "unmatched_statuses": LISTED_STATUSES,
}
_DEFAULTS = {field.name: getattr(DOCUMENTED, field.name) for field in fields(Dialect)}
_MOST_DIGITS = 9


def read_switches(
    text: str, named: Mapping[str, T], documented: T, *, what: str
) -> tuple[T, list[tuple[str, str]]]:
    """What a name at the beginning stands for, and the keys and values that follow. ``ValueError`` if
    there is no such name."""
    parts, start = text.split(","), documented
    if "=" not in parts[0]:
        name = parts.pop(0)
        if name not in named:
            raise ValueError(f"no such {what}: {name}")
        start = named[name]
    pairs = [part.partition("=") for part in parts]
    return start, [(key, value) for key, _, value in pairs]


def parse_dialect(text: str) -> Dialect:
    """The dialect that is written so. ``ValueError`` if it cannot be read."""
    dialect, switches = read_switches(text, NAMED, DOCUMENTED, what="dialect")
    changed: dict[str, Any] = {}
    for key, value in switches:
        switch = _SHORT_TO_LONG.get(key, key)
        if switch not in _DEFAULTS:
            raise ValueError(f"no such switch of a dialect: {key}")
        changed[switch] = _parse_value(switch, value)
    return replace(dialect, **changed)


def spell_dialect(dialect: Dialect) -> str:
    """How it is written: by its name, or by what differs from what is documented."""
    for name, named in NAMED.items():
        if named == dialect:
            return name
    return ",".join(
        f"{_key(switch)}={_spell_value(switch, getattr(dialect, switch))}"
        for switch, documented in _DEFAULTS.items()
        if getattr(dialect, switch) != documented
    )


def _parse_value(switch: str, text: str) -> Any:
    default, written = _DEFAULTS[switch], f"{_key(switch)}={text}"
    if switch in _SETS:
        return _parse_set(switch, text)
    if switch == "zone_offset_seconds":
        return _parse_zone(text)
    if isinstance(default, bool):
        return _choice(switch, text, {"yes": True, "no": False})
    if isinstance(default, int):
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
            raise ValueError(f"{written} is not a whole number")
        if switch == "page_cap" and not int(text):
            raise ValueError(f"{written}: a page has at least one job")
        return int(text)
    if isinstance(default, StrEnum):
        return _choice(switch, text, {each.value: each for each in type(default)})
    words = (*PLAUSIBLE[switch], *CURIOSITIES.get(switch, ()))
    return _choice(switch, text, {word: word for word in words})


def _key(switch: str) -> str:
    return _LONG_TO_SHORT.get(switch, switch)


KEYS = tuple(_key(switch) for switch in _DEFAULTS)
"""By which the switches are written here; their own names are understood, too."""


def _choice(switch: str, text: str, choices: Mapping[str, Any]) -> Any:
    if text not in choices:
        raise ValueError(f"{_key(switch)}={text} is none of {', '.join(choices)}")
    return choices[text]


def _parse_set(switch: str, text: str) -> frozenset[str]:
    """``any``, ``none``, or words joined by ``+``."""
    every = _SETS[switch]
    if text in {"any", "none"}:
        return every if text == "any" else frozenset()
    by_word = {str(each): each for each in sorted(every)}
    return frozenset(_choice(switch, word, by_word) for word in text.split("+"))


def _parse_zone(text: str) -> int:
    if text == "utc":
        return 0
    written = re.fullmatch(r"([+-])([0-9]{2}):([0-9]{2})", text)
    if written is None:
        raise ValueError(f"zone={text} is neither utc nor like +08:00")
    seconds = int(written[2]) * 3600 + int(written[3]) * 60
    return -seconds if written[1] == "-" else seconds


def _spell_value(switch: str, value: Any) -> str:
    if switch in _SETS:
        if value == _SETS[switch]:
            return "any"
        return "+".join(sorted(value)) or "none"
    if switch == "zone_offset_seconds":
        minutes = abs(value) // 60
        return f"{'-' if value < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
