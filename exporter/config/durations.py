"""Durations as Prometheus writes them: ``30s``, ``5m``, ``1h30m``, ``30d``, ``500ms``."""

import re

_UNITS = {"y": 31_536_000.0, "w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0,
          "ms": 0.001}  # fmt: skip
PATTERN = "0|(?=[0-9])" + "".join(f"([0-9]{{1,9}}{unit})?" for unit in _UNITS)
"""A regular expression for the whole text: every unit at most once, the larger ones first."""

_WHOLE = re.compile(PATTERN)
_LONGEST_SECONDS = 100 * _UNITS["y"]


def parse_duration(text: str) -> float:
    """Give the seconds that ``text`` says. Raises ValueError with what is wrong with it."""
    match = _WHOLE.fullmatch(text)
    if match is None and text.isdecimal():
        raise ValueError(f"is not a duration; write {text}s")
    if match is None:
        raise ValueError("is not a duration; write it as 30s, 5m, 1h30m or 30d")
    seconds = sum(
        int(part.removesuffix(unit)) * weight
        for part, (unit, weight) in zip(match.groups(), _UNITS.items(), strict=True)
        if part
    )
    if seconds > _LONGEST_SECONDS:
        raise ValueError("is too long; the longest duration is 100y")
    return seconds


def format_duration(seconds: float) -> str:
    """Write whole milliseconds as ``parse_duration`` reads them: 5400 is ``1h30m``."""
    rest = round(seconds * 1000)
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        weight = round(_UNITS[unit] * 1000)
        count, rest = divmod(rest, weight)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
