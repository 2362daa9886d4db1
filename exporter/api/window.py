"""Whether calls at a steady rate find room in a window of calls. Pure.

A window may hold many calls. Only as many are looked at as there can be steady calls while it lasts.
"""

import math
from collections.abc import Iterator, Sequence
from typing import overload

MARGIN_SECONDS = 0.01
"""A call that is on time may come a little earlier than the one a period before."""


class Waits(Sequence[float]):
    """In how many seconds each call of a window will have left it: worked out for those that are
    asked for, of a window that may be long."""

    def __init__(self, calls: Sequence[float], period_seconds: float, now_seconds: float) -> None:
        self._calls = calls
        self._period_seconds = period_seconds
        self._now_seconds = now_seconds

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[float]:
        return (at + self._period_seconds - self._now_seconds for at in self._calls)

    @overload
    def __getitem__(self, place: int) -> float: ...

    @overload
    def __getitem__(self, place: slice) -> "Waits": ...

    def __getitem__(self, place: int | slice) -> "float | Waits":
        if isinstance(place, slice):
            return Waits(self._calls[place], self._period_seconds, self._now_seconds)
        return self._calls[place] + self._period_seconds - self._now_seconds


def spare_calls(allowed: int, waits: Sequence[float], calls_per_second: float) -> int:
    """How many calls can be made now, if those of a steady rate are to find room in the window at
    any time from now on. Pure. ``waits``: in how many seconds each call of the window will have left
    it, the soonest first.

    Whatever is spent now is away for a whole period, while room comes back only as old calls leave:
    so it does not do to look at the sum of a period.
    """
    spare = free = allowed - len(waits)
    # Behind so many calls of the window, more have left than steady ones can come while it lasts.
    most = _steady_calls(calls_per_second, waits[-1]) if waits else 0
    for left, wait_seconds in enumerate(waits[: max(0, most)]):
        spare = min(spare, free + left - _steady_calls(calls_per_second, wait_seconds))
    return max(0, spare)


def _steady_calls(calls_per_second: float, wait_seconds: float) -> int:
    return int(calls_per_second * (wait_seconds + MARGIN_SECONDS))


def slowdown(allowed: int, waits: Sequence[float], calls_per_second: float) -> float:
    """The least factor, from 1, by which a steady rate of calls must slow down to find room in the
    window at any time from now on. Pure. ``waits`` as in ``spare_calls``."""
    beyond = max(0, len(waits) - allowed)  # the share may have become smaller
    free = max(0, allowed - len(waits))
    most = calls_per_second * (waits[-1] + MARGIN_SECONDS) if waits else 0.0
    behind = beyond + max(0, math.ceil(most) - free)  # from here on there is room for all of them
    factors = (
        calls_per_second * (wait_seconds + MARGIN_SECONDS) / (free + place)
        for place, wait_seconds in enumerate(waits[beyond:behind], start=1)
    )
    return max(1.0, max(factors, default=1.0))
