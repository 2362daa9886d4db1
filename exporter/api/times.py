"""Reading the times of a page (API reference, section 3). Pure.

Wrong is worse than absent: a time that cannot be read or is not plausible (the zero times of databases,
languages and systems, in whichever zone; 2099 and the like) is None.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, Protocol

_EARLIEST_AT = 1_000_000_000  # 2001-09-09; zero times are in 1900, 1970, 1980, 2000 or 2001
_LATEST_AT = 4_102_444_800  # 2100-01-01; later ones are placeholders such as 9999-12-31
_AHEAD_SECONDS = 30 * 86400
"""A time may be so far ahead of the server's clock: it may be of another zone, or by another clock."""
_LEAST_MILLISECONDS = 100_000_000_000  # as seconds it would be the year 5138, as milliseconds 1973
_SECONDS = {f":{at // 60:02}:{at % 60:02}": at for at in range(3600)}
_SECONDS_UTC = {f"{text}Z": at for text, at in _SECONDS.items()}
"""Behind the beginning of an hour."""
_LAST_SECOND_OF_HOUR = 3599
_MOST_HOURS = 16384  # two years of them
_SHORTEST_TIME = len("2021-08-19T14:06")

Moments = tuple[int | None, int | None, int | None]
"""When a job was submitted, was started, and last changed."""


class Stamped(Protocol):
    """What has the times of a job, as they are written."""

    submitted_time: Any
    started_time: Any
    modified_time: Any


class Times(NamedTuple):
    """The times of a page."""

    moments: list[Moments]
    """Of each record."""
    zoneless: bool
    """Whether any of them carries no zone."""
    zoned: bool
    """Whether any carries one."""
    bare: list[bool]
    """Of each record, whether its last change carries no zone; its submission where that is not told."""


def read_times(
    records: Sequence[Stamped], timezone: tzinfo, server_time_at: float | None = None
) -> Times:
    """The times of a page's records.

    ``timezone`` is that of times that carry none; where its clocks go back, an ambiguous time is
    taken for the earlier one. A time far ahead of ``server_time_at`` is None.
    """
    # The documented form, with Z or without it as the first record has it, has a short way, by
    # look-ups that raise for any other form: a page's times would cost more than its JSON.
    first = records[0].modified_time if records else None
    utc = isinstance(first, str) and first.endswith("Z")
    hours, seconds = _hours_of(UTC if utc else timezone), _SECONDS_UTC if utc else _SECONDS
    moments: list[Moments] = []
    long, zoneless, zoned = 0, False, False
    bare = [not utc] * len(records)
    for record in records:
        submitted, started, modified = (
            record.submitted_time,
            record.started_time,
            record.modified_time,
        )
        try:
            moments.append(
                (
                    hours[submitted[:13]] + seconds[submitted[13:]],
                    hours[started[:13]] + seconds[started[13:]] if started else None,
                    hours[modified[:13]] + seconds[modified[13:]],
                )
            )
        except (KeyError, TypeError):
            long += 1
            read = [_moment(value, timezone) for value in (submitted, started, modified)]
            moments.append((read[0][0], read[1][0], read[2][0]))
            kinds = {without for at, without in read if at is not None}
            bare[len(moments) - 1] = read[0][1] if read[2][0] is None else read[2][1]
            zoneless, zoned = zoneless or True in kinds, zoned or False in kinds
    short = long < len(records)
    latest_at = _LATEST_AT if server_time_at is None else server_time_at + _AHEAD_SECONDS
    if max(filter(None, chain.from_iterable(moments)), default=0) > latest_at:
        moments = [_not_after(latest_at, each) for each in moments]
    return Times(moments, zoneless or (short and not utc), zoned or (short and utc), bare)


class _Hours(dict[str, int]):
    """The moments at which hours (``2021-08-19T14``) begin, worked out when first asked.

    An hour in which clocks are changed is never here.
    """

    def __init__(self, timezone: tzinfo) -> None:
        super().__init__()
        self._timezone = timezone

    def __missing__(self, hour: str) -> int:
        begin_at, _ = _iso_moment(f"{hour}:00:00", self._timezone)
        end_at, _ = _iso_moment(f"{hour}:59:59", self._timezone)
        if begin_at is None or end_at is None or end_at - begin_at != _LAST_SECOND_OF_HOUR:
            raise KeyError(hour)
        if len(self) >= _MOST_HOURS:
            self.clear()
        self[hour] = begin_at
        return begin_at


@lru_cache(maxsize=64)
def _hours_of(timezone: tzinfo) -> _Hours:
    return _Hours(timezone)


def _not_after(latest_at: float, moments: Moments) -> Moments:
    submitted, started, modified = (None if at is None or at > latest_at else at for at in moments)
    return submitted, started, modified


def _moment(value: Any, timezone: tzinfo) -> tuple[int | None, bool]:
    """The moment of a time in any form: a space for the T, a fraction, an offset, a number; and
    whether it hangs on ``timezone``."""
    if isinstance(value, str):
        value = value.strip()
        if len(value) >= _SHORTEST_TIME and value[4] == "-":
            return _iso_moment(value.upper(), timezone)
        try:
            value = float(value)
        except ValueError:
            return None, False
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, False
    return _plausible_at(value // 1000 if value >= _LEAST_MILLISECONDS else value), False


def _iso_moment(text: str, timezone: tzinfo) -> tuple[int | None, bool]:
    try:
        moment = datetime.fromisoformat(text)
        bare = moment.tzinfo is None
        at = _plausible_at(
            moment.replace(tzinfo=timezone).timestamp() if bare else moment.timestamp()
        )
    except (ValueError, OverflowError):
        return None, False
    return at, bare and at is not None


def _plausible_at(moment_at: float) -> int | None:
    return math.floor(moment_at) if _EARLIEST_AT <= moment_at < _LATEST_AT else None
