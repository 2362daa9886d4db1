"""What a client wants: its ``Accept`` headers -> a format, a coding, a language. Pure.

Of a header only the beginning is looked at and remembered: it is whoever asks that chooses its length.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from exporter.texts import Language


class Format(Enum):
    """What can be written. Text 1.0.0 differs from 0.0.4 only for names that we do not have."""

    TEXT = "text/plain"
    OPENMETRICS = "application/openmetrics-text"


@dataclass(frozen=True, slots=True)
class Choice:
    """A format, and how it is announced."""

    format: Format
    content_type: str


TEXT_0_0_4 = Choice(Format.TEXT, "text/plain; version=0.0.4; charset=utf-8")
"""What everybody understands; also the answer to whoever accepts nothing that we have."""

_VERSIONS = {
    (Format.TEXT, ""): "0.0.4",
    (Format.TEXT, "0.0.4"): "0.0.4",
    (Format.TEXT, "1.0.0"): "1.0.0",
    (Format.OPENMETRICS, ""): "1.0.0",
    (Format.OPENMETRICS, "1.0.0"): "1.0.0",
}
"""By media type and the version asked for, the version given."""

_ESCAPINGS = frozenset({"allow-utf-8", "underscores", "dots", "values"})
_REMEMBERED = 64
"""Header values whose meaning is kept; scrapers send the same ones again and again."""
LONGEST = 1000
"""Characters of a header; Prometheus' own has some 400."""
_ANY = frozenset({"*/*", "text/*"})


def choose_format(accept: str) -> Choice:
    """The best of what ``accept`` (the header's value) asks for; the first among equals."""
    return _choose_format(accept[:LONGEST])


@lru_cache(_REMEMBERED)
def _choose_format(accept: str) -> Choice:
    best, best_quality = TEXT_0_0_4, 0.0
    for media_range in accept.split(","):
        kind, parameters = _parse(media_range)
        quality = _quality(parameters)
        choice = _choice(kind, parameters)
        if choice is not None and quality > best_quality:
            best, best_quality = choice, quality
    return best


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the client takes gzip: by name, or by ``*`` where it does not name it."""
    return _accepts_gzip(accept_encoding[:LONGEST])


@lru_cache(_REMEMBERED)
def _accepts_gzip(accept_encoding: str) -> bool:
    qualities = {}
    for coding in accept_encoding.split(","):
        name, parameters = _parse(coding)
        qualities[name] = _quality(parameters)
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def preferred_language(accept_language: str) -> Language:
    """The language of an ``Accept-Language`` header: English unless Chinese is liked better."""
    liking = {"zh": 0.0, "en": 0.0}
    for item in accept_language[:LONGEST].split(","):
        tag, parameters = _parse(item)
        language = tag.split("-")[0]
        if language in liking:
            liking[language] = max(liking[language], _quality(parameters))
    return "zh" if liking["zh"] > liking["en"] else "en"


def _choice(kind: str, parameters: dict[str, str]) -> Choice | None:
    if kind in _ANY:
        return TEXT_0_0_4
    try:
        wanted = Format(kind)
    except ValueError:
        return None
    asked = parameters.get("version", "")
    version = _VERSIONS.get((wanted, asked))
    if version is None:
        return None
    content_type = f"{kind}; version={version}; charset=utf-8"
    if asked == "1.0.0":
        # All our names are plain, so that every scheme gives the same text: agree to any.
        escaping = parameters.get("escaping", "")
        content_type += f"; escaping={escaping if escaping in _ESCAPINGS else 'underscores'}"
    return Choice(wanted, content_type)


def _parse(item: str) -> tuple[str, dict[str, str]]:
    kind, *rest = (part.strip() for part in item.split(";"))
    parameters = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"')
    return kind.lower(), parameters


def _quality(parameters: dict[str, str]) -> float:
    """The weight, 0 to 1; 1 where there is none, 0 where it is no number (RFC 9110, 12.4.2)."""
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
