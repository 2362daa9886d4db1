"""Whether calls at a steady rate find room in a window of calls. Pure.

A window may hold many calls. Only as many are looked at as there can be steady calls while it lasts.
``calls`` are the moments of its calls, the earliest first. The window begins at ``from_seconds``: a call
leaves it in as many seconds as it was made after that.
"""

import math
from collections.abc import Sequence

MARGIN_SECONDS = 0.01
"""A call that is on time may come a little earlier than the one a period before."""


def spare_calls(
    allowed: int, calls: Sequence[float], calls_per_second: float, from_seconds: float = 0.0
) -> int:
    """How many calls can be made now, if those of a steady rate are to find room in the window at
    any time from now on. Pure.

    Whatever is spent now is away for a whole period, while room comes back only as old calls leave:
    so it does not do to look at the sum of a period.
    """
    free, begin = allowed - len(calls), from_seconds - MARGIN_SECONDS
    # Behind so many calls of the window, more have left than steady ones can come while it lasts.
    most = int(calls_per_second * (calls[-1] - begin)) if calls else 0
    spare = (
        free + left - int(calls_per_second * (at - begin))
        for left, at in enumerate(calls[: max(0, most)])
    )
    return max(0, min(free, min(spare, default=free)))


def slowdown(
    allowed: int, calls: Sequence[float], calls_per_second: float, from_seconds: float = 0.0
) -> float:
    """The least factor, from 1, by which a steady rate of calls must slow down to find room in the
    window at any time from now on. Pure."""
    begin = from_seconds - MARGIN_SECONDS
    beyond = max(0, len(calls) - allowed)  # the share may have become smaller
    free = max(0, allowed - len(calls))
    most = calls_per_second * (calls[-1] - begin) if calls else 0.0
    behind = beyond + max(0, math.ceil(most) - free)  # from here on there is room for all of them
    factors = (
        calls_per_second * (at - begin) / (free + place)
        for place, at in enumerate(calls[beyond:behind], start=1)
    )
    return max(1.0, max(factors, default=1.0))
