"""What a text in the configuration must be. Each check raises ValueError with what is wrong; the
message follows the text itself, as in ``"5 minutes" is not a duration``."""

import difflib
import ipaddress
import re
import zoneinfo
from collections.abc import Iterable
from datetime import UTC, tzinfo
from urllib.parse import SplitResult, urlsplit

from exporter.catalog import CLUSTER_INFO
from exporter.config.durations import parse_duration
from exporter.config.values import ALL_HISTORY_SECONDS, NO_HISTORY_SECONDS

SHORTEST_INTERVAL_SECONDS = 1.0
LABEL_NAME = re.compile("^([a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9_]*$")
TAKEN_LABELS = frozenset({*CLUSTER_INFO.labels, "job", "instance"})
_OFFSET = re.compile(r"(?:UTC|GMT)?(?P<sign>[+-])0?(?P<hours>1?[0-9])(?::?00)?", re.IGNORECASE)
_CHINAS = ("beijing", "china", "peking")
_EXACT_CHINAS = frozenset({"bjt", "cn", "cst", "pek", "prc", "shanghai"})
_CHINAS_IN_CHINESE = re.compile("北京|中国|上海|东八")
_SIMILAR = 0.75
_LEAPING = "right/"
"""Zones of the time zone database that count leap seconds, as no server does."""
_WRONG_QUOTES = frozenset("“”‘’„«»＂＇")
_OWN_PATH = re.compile(r"/(api|job/list)/*$")
_POSIX_CLASS = re.compile(
    r"\[:\^?(alnum|alpha|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit):\]"
)
_CHINA_HOURS = 8
_ZONE_WORDS = {"auto": "auto", "utc": "UTC", "z": "UTC"}
_SIGNS = {0xFF0B: "+", 0x2212: "-"}
"""As Chinese keyboards and word processors write them."""
_INVISIBLE = "contains an invisible character, such as from a web page; type it anew"
_FARTHEST_AHEAD, _FARTHEST_BEHIND = 14, 12
"""Hours of the zones that there are."""


def suggest(text: str, known: Iterable[str]) -> str:
    """Give ``; did you mean "..."?`` if something known is close to the text, else nothing."""
    close = difflib.get_close_matches(text, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def duration(text: str) -> float:
    """Seconds of a duration that is more than nothing."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError("is too short; it must be more than 0s")
    return seconds


def interval(text: str) -> float:
    """Seconds of an interval."""
    seconds = parse_duration(text)
    if seconds < SHORTEST_INTERVAL_SECONDS:
        raise ValueError("is too short; the shortest interval is 1s")
    return seconds


def staleness(text: str) -> float | None:
    """Seconds for which counts are served; None for as long as the interval asks for."""
    return None if text == "auto" else interval(text)


def capacity_interval(text: str) -> float | None:
    """Seconds from one look at queues and nodes to the next; None for never."""
    return None if text == "off" else interval(text)


def history(text: str) -> float:
    """Seconds for which an ended job is counted; infinite for all, 0 for none."""
    if text == "all":
        return ALL_HISTORY_SECONDS
    if text == "none":
        return NO_HISTORY_SECONDS
    try:
        return duration(text)
    except ValueError:
        raise ValueError("must be all, none, or a duration such as 30d") from None


def pattern(text: str) -> "re.Pattern[str]":
    """A regular expression. A dot is any character: ``.*`` matches every name."""
    if alien := _POSIX_CLASS.search(text):
        raise ValueError(f"is not a pattern: {alien[0]} is not known here; write it as [a-zA-Z]")
    try:
        return re.compile(text, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a pattern: {error}") from None


def label_name(text: str) -> str:
    """The name of a label of a cluster's own."""
    if not LABEL_NAME.fullmatch(text):
        raise ValueError(
            "is not a label name: only letters, digits and _, not beginning with a digit or __"
        )
    if text in TAKEN_LABELS:
        raise ValueError("is a label that ehpc_cluster_info or Prometheus already uses")
    return text


def word(text: str) -> str:
    """An identifier: something, without white space."""
    if not text or any(character.isspace() for character in text):
        raise ValueError("must not be empty or contain white space")
    if not text.isprintable():
        raise ValueError(_INVISIBLE)
    if _WRONG_QUOTES.intersection(text):
        raise ValueError("contains a quotation mark that is not a plain \" or '")
    return text


def name(text: str) -> str:
    """What people call an account or a cluster."""
    if not text.strip():
        raise ValueError("is empty")
    return text


def path(text: str) -> str:
    """The path of a file or a directory, as it is."""
    if text.startswith("~"):
        raise ValueError("begins with ~, which only a shell replaces; write ${HOME}")
    return text


def key(text: str) -> str:
    """A key, or a file's content that is one, without the white space around it, nor the mark that
    some editors put in front of UTF-8."""
    word = text.removeprefix("\ufeff").strip()
    if not word:
        raise ValueError("is empty")
    if len(word.splitlines()) > 1:
        raise ValueError("has more than one line; it must contain only the key")
    if not word.isprintable():
        raise ValueError(_INVISIBLE)
    return word


def timezone(text: str) -> tzinfo | None:
    """A time zone by its IANA name; None for ``auto``. UTC needs no time zone database."""
    if text == "auto":
        return None
    if text == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo("" if text.startswith(_LEAPING) else text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = _zone_of(text)
        if not hint and not any(map(str.isdigit, text)):  # what resembles an offset is another one
            hint = suggest(text, (each for each in zoneinfo.available_timezones() if "/" in each))
        hint = hint or "; write it as Asia/Shanghai"
        raise ValueError(f"is not a known time zone{hint}") from None


def _zone_of(text: str) -> str:
    """What to write in place of an offset, or of a name for China's time or UTC; nothing for other texts, or
    where there is no such zone."""
    if word := _ZONE_WORDS.get(text.strip().lower()):
        return f"; write {word}"
    if _means_china(text):
        return "; write Asia/Shanghai"
    offset = _OFFSET.fullmatch(text.replace(" ", "").translate(_SIGNS))
    if offset is None:
        return ""
    hours, ahead = int(offset["hours"]), offset["sign"] == "+"
    if hours > (_FARTHEST_AHEAD if ahead else _FARTHEST_BEHIND):
        return ""
    if ahead and hours == _CHINA_HOURS:
        return "; write Asia/Shanghai"
    zone = f"Etc/GMT{'-' if ahead else '+'}{hours}"  # their signs are the other way round
    return f"; write {zone if hours else 'UTC'}"


def _means_china(text: str) -> bool:
    """Whether the text names China or one of its cities, also if it is misspelt, or longer."""
    if _CHINAS_IN_CHINESE.search(text):
        return True
    city = text.rpartition("/")[2].lower()
    words = [*re.findall("[a-z]+", city), re.sub("[^a-z]", "", city)]
    return not _EXACT_CHINAS.isdisjoint(words) or any(
        difflib.get_close_matches(word, _CHINAS, n=1, cutoff=_SIMILAR) for word in words
    )


def endpoint(text: str) -> str:
    """A URL to which ``/api/job/list`` can be added. It may hold a password: not to be quoted."""
    parts = _address(text)
    if parts is None:
        raise ValueError("must be a URL such as https://hpc.api.qingcloud.com")
    if "@" in parts.netloc:
        raise ValueError(
            "must not contain a user or password; keys go into access_key_id and secret_access_key"
        )
    if "?" in text or "#" in text:
        raise ValueError("must not contain a query or fragment")
    return text.rstrip("/")


def link(text: str) -> str:
    """A URL below which there are pages."""
    parts = _address(text)
    if parts is None or "?" in text or "#" in text:
        raise ValueError("must be a URL such as https://grafana.example.org, without a query")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user or password: everybody can see the link")
    return text.rstrip("/")


def _address(text: str) -> SplitResult | None:
    """The parts of a URL by which somebody can be reached; None if it is none."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.port != 0
        host = (parts.hostname or "").encode("idna")
    except ValueError:
        return None
    usable = usable and bool(host.strip(b".")) and not host.startswith((b"*", b"."))
    plain = text.isprintable() and not any(char.isspace() or char == "\\" for char in text)
    return parts if usable and plain else None


def repeats_path(url: str) -> bool:
    """Whether a checked endpoint ends as the paths of the API begin, which are added to it."""
    return bool(_OWN_PATH.search(urlsplit(url).path))


def is_plain_http_abroad(url: str) -> bool:
    """Whether a checked endpoint sends what it gets unprotected over a network."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return False
    host = parts.hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
