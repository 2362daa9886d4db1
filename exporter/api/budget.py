"""How many calls an account may still make, and how its clusters share them.

One sliding window for each account: in any ``period``, at most ``requests * share`` calls. The calls
are written down before they are sent, by the handed-in ``SpendingLog``, so that neither a kill nor a
second process on the same account makes the program forget one.
"""

import math
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from exporter.api.window import MARGIN_SECONDS, slowdown, spare_calls
from exporter.clock import Clock, Instant, instant
from exporter.errors import BudgetExhausted
from exporter.model import Pause, Purpose

FIRST_PAUSE_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 4 * 3600.0
"""After code 2500: the first pause, doubled each time the careful call is refused again."""

PLANNED_PART = 0.9
"""Of the allowed calls, what refreshes are planned to use; the rest is for audits and surprises."""

AUDITS_PART = 0.25
"""Of what refreshes leave, what the history leaves to audits, if they want so much."""

HISTORY_PART = 0.5
"""Of what refreshes leave, what audits leave to the history, until it has been read."""

CAREFUL_CALL_SECONDS = 60.0
"""What the one call after a pause gets to be answered in, before another is tried."""

_ROUNDING = _ROUNDING_SECONDS = 1e-6

_AIR_CALLS = 0.1
"""Not quite all of the planned part is planned, lest every call must come on the dot."""


class CallGate(Protocol):
    """Asked before every call of one account, retries included, and told how calls went."""

    def admit(self, cluster_name: str) -> None:
        """Let one call through. Raises ``BudgetExhausted`` instead if it must not be sent."""
        ...

    def over_quota(self) -> None:
        """The API refused a call with code 2500."""
        ...

    def passed(self) -> None:
        """The API answered a call with anything other than code 2500."""
        ...


def longer_pause(pause: Pause, now_seconds: float) -> Pause:
    """The pause after one that did not help. Pure."""
    seconds = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(pause.times, 10))
    return Pause(now_seconds + seconds, pause.times + 1)


class SpendingLog(Protocol):
    """Where an account's calls are written down; see ``ledger.spending`` for the one on disk. All
    moments are by the clock that nobody sets."""

    @property
    def on_disk(self) -> bool | None:
        """Whether a restart finds what is written; None where nothing is to be kept."""
        ...

    def locked(self, now: Instant) -> AbstractContextManager[None]:
        """Keep other processes out while calls are counted and written."""
        ...

    def calls_since(self, seconds: float) -> list[float]:
        """When calls were made, oldest first."""
        ...

    def add_call(self, seconds: float) -> None:
        """Write down a call that is about to be sent."""
        ...

    def pause(self) -> Pause:
        """The pause in force, or the last one."""
        ...

    def set_pause(self, pause: Pause) -> None:
        """Write down a pause."""
        ...


@dataclass(frozen=True, slots=True)
class Demand:
    """What one cluster would like: a sync every interval, of so many calls."""

    interval_seconds: float
    calls: float
    audits_per_second: float = 0.0
    """The calls that its audits may come to, beside those of the syncs."""
    history: int = 0
    """About how many calls it takes to read what is left of its history."""
    worth: float = 0.0
    """What its calls are good for, against the others': how much has lately happened in a second.
    Infinite: it is served before them."""


@dataclass(frozen=True, slots=True)
class _Beside:
    """What there is in a window beside the planned refreshes: made by each, and wanted."""

    calls: int
    spare: int
    """Of them, what can be made now."""
    audits: int
    audits_wanted: float
    history: int
    history_wanted: int
    """The calls that all that is left of it takes."""
    capacity: int
    capacity_wanted: float

    @property
    def history_part(self) -> int:
        """What the history may have of the calls of a window: it leaves audits their part, and capacity what they leave
        of it."""
        wanted = self.audits_wanted + self.capacity_wanted
        beside = max(self.audits + self.capacity, int(min(wanted, AUDITS_PART * self.calls)))
        return self.calls - beside

    def left(self, purpose: Purpose) -> int:
        """How many calls can be made now for a purpose other than refreshes."""
        if purpose is Purpose.HISTORY:
            left = self.history_part - self.history
        elif purpose is Purpose.AUDIT:  # they leave the history its part
            part = math.ceil(HISTORY_PART * self.calls) if self.history_wanted else 0
            left = self.calls - self.audits - self.capacity - max(self.history, part)
        else:
            # Capacity comes last: it has what audits do not want, while there is history to be read only of their part.
            part = (
                int(AUDITS_PART * self.calls) if self.history_wanted else self.calls - self.history
            )
            left = part - max(self.audits, math.ceil(self.audits_wanted)) - self.capacity
        return max(0, min(self.spare, left))


class AccountBudget:
    """The budget of one account: a ``CallGate``, shared by the threads of its clusters."""

    def __init__(
        self, *, allowed: int, period_seconds: float, clock: Clock, log: SpendingLog
    ) -> None:
        """``allowed`` calls in every ``period_seconds``."""
        self.allowed = allowed
        self.period_seconds = period_seconds
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._demands: dict[str, Demand] = {}
        self._own: deque[float] = deque()
        """When this process made its calls, whatever becomes of the log's file."""
        self._beside: dict[Purpose, deque[float]] = {
            each: deque() for each in Purpose if each is not Purpose.FRESH
        }
        """Those of them that were none of a refresh, by what they were for."""
        self._capacity_per_second = 0.0
        self._careful_call_seconds: float | None = None

    def admit(self, cluster_name: str) -> None:
        """See ``CallGate``."""
        del cluster_name
        with self._lock:
            now = instant(self._clock)
            with self._log.locked(now):
                self._check_pause(now)
                calls = self._calls(now.seconds)
                if len(calls) >= self.allowed:
                    wait_seconds = calls[-self.allowed] + self.period_seconds - now.seconds
                    raise BudgetExhausted(
                        "budget",
                        "this exporter's share of the quota is used up"
                        f" ({self.allowed} of {self.allowed} calls)",
                        until_at=now.at + wait_seconds + _ROUNDING_SECONDS,
                        advice="Wait: the daemon continues by itself. Or lengthen the interval,"
                        " watch fewer clusters with this account, or raise quota.share if no other"
                        " tool needs the calls.",
                    )
                if self._log.pause().times:
                    self._careful_call_seconds = now.seconds
                self._log.add_call(now.seconds)
                self._own.append(now.seconds)

    def over_quota(self) -> None:
        """See ``CallGate``."""
        with self._lock:
            now = instant(self._clock)
            with self._log.locked(now):
                pause = self._log.pause()
                self._careful_call_seconds = None
                if pause.until_seconds <= now.seconds:  # else a call of the same moment has said so
                    self._log.set_pause(longer_pause(pause, now.seconds))

    def passed(self) -> None:
        """See ``CallGate``."""
        with self._lock:
            if self._careful_call_seconds is None and not self._log.pause().times:
                return
            now = instant(self._clock)
            with self._log.locked(now):
                pause = self._log.pause()
                if pause.times and pause.until_seconds <= now.seconds:
                    self._log.set_pause(Pause())
                self._careful_call_seconds = None

    def used(self) -> int:
        """Calls made within the window that ends now, as far as this process knows."""
        return len(self._log.calls_since(self._clock.monotonic_seconds() - self.period_seconds))

    @property
    def on_disk(self) -> bool | None:
        """Whether calls are written down; None where they are not meant to be."""
        return self._log.on_disk

    def declare(self, cluster_name: str, demand: Demand | None) -> None:
        """What a cluster needs; None if it is no longer there."""
        with self._lock:
            if demand is None:
                self._demands.pop(cluster_name, None)
            else:
                self._demands[cluster_name] = demand

    def declare_capacity(self, calls_per_second: float) -> None:
        """What asking for queues and nodes would come to, if there is room for it."""
        with self._lock:
            self._capacity_per_second = calls_per_second

    def effective_interval_seconds(self, cluster_name: str) -> float:
        """How long a declared cluster waits from one sync to the next, such that refreshes neither
        exceed their part of the share nor find the window full."""
        with self._lock:
            demands, seconds = dict(self._demands), self._clock.monotonic_seconds()
            made = self._calls(seconds)
        window_from = seconds - self.period_seconds
        planned = self._planned_intervals(demands)
        rate = _calls_per_second(demands, planned)
        slower = slowdown(self.allowed, made, rate, window_from)
        if slower == 1.0:
            return planned[cluster_name]
        calls = rate * self.period_seconds / slower
        interval = fair_intervals(demands, calls, self.period_seconds)[cluster_name]
        # Once every cluster finds its calls there is nothing left to wait for.
        for_all = sum(math.ceil(demand.calls) for demand in demands.values())
        needed = min(max(1, len(made) + for_all - self.allowed), len(made))
        room_in_seconds = made[needed - 1] - window_from + MARGIN_SECONDS
        return max(planned[cluster_name], min(interval, room_in_seconds))

    def left(self, purpose: Purpose = Purpose.FRESH) -> int:
        """Calls that may be made now: by a refresh; or for another purpose, such that every refresh that is planned for
        the next window finds its own, and the others have their parts. Who asks first has them."""
        if purpose is Purpose.FRESH:
            with self._lock:
                return max(0, self.allowed - len(self._calls(self._clock.monotonic_seconds())))
        return self._beside_refreshes().left(purpose)

    def note(self, purpose: Purpose) -> None:
        """The call that was just made was for this."""
        if purpose is not Purpose.FRESH:
            with self._lock:
                self._beside[purpose].append(self._clock.monotonic_seconds())

    def history_seconds(self) -> float:
        """About how long it takes to read all histories, with the calls that are left for them: each of them is made
        again when it leaves the window."""
        beside = self._beside_refreshes()
        later = beside.history_wanted - beside.left(Purpose.HISTORY)
        if later <= 0:
            return 0.0
        windows, place = divmod(later - 1, max(1, beside.history_part))
        with self._lock:
            made = list(self._beside[Purpose.HISTORY])
            now_seconds = self._clock.monotonic_seconds()
        ago_seconds = now_seconds - made[place] if place < len(made) else 0.0
        return (windows + 1) * self.period_seconds - ago_seconds

    def _beside_refreshes(self) -> "_Beside":
        with self._lock:
            demands, seconds = dict(self._demands), self._clock.monotonic_seconds()
            made, window_from = self._calls(seconds), seconds - self.period_seconds
            for calls in self._beside.values():
                while calls and calls[0] <= window_from:
                    calls.popleft()
            beside = {purpose: len(calls) for purpose, calls in self._beside.items()}
            capacity_wanted = self._capacity_per_second * self.period_seconds
        rate = _calls_per_second(demands, self._planned_intervals(demands))
        return _Beside(
            calls=self.allowed - math.ceil(rate * self.period_seconds - _ROUNDING),
            spare=spare_calls(self.allowed, made, rate, window_from),
            audits=beside[Purpose.AUDIT],
            audits_wanted=self.period_seconds
            * sum(demand.audits_per_second for demand in demands.values()),
            history=beside[Purpose.HISTORY],
            history_wanted=sum(demand.history for demand in demands.values()),
            capacity=beside[Purpose.CAPACITY],
            capacity_wanted=capacity_wanted,
        )

    def _planned_intervals(self, demands: Mapping[str, Demand]) -> dict[str, float]:
        planned = min(self.allowed * PLANNED_PART, self.allowed - 1.0) - _AIR_CALLS
        return fair_intervals(demands, max(planned, PLANNED_PART), self.period_seconds)

    def _calls(self, seconds: float) -> list[float]:
        """The calls of the window that ends at a moment: as they are written down, or as this
        process remembers, whichever are more."""
        while self._own and self._own[0] <= seconds - self.period_seconds:
            self._own.popleft()
        written = self._log.calls_since(seconds - self.period_seconds)
        return written if len(written) >= len(self._own) else list(self._own)

    def _check_pause(self, now: Instant) -> None:
        pause = self._log.pause()
        if pause.until_seconds > now.seconds + LONGEST_PAUSE_SECONDS:  # written by a wrong clock
            pause = Pause(now.seconds + LONGEST_PAUSE_SECONDS, pause.times)
            self._log.set_pause(pause)
        careful = self._careful_call_seconds
        waiting = careful is not None and now.seconds - careful < CAREFUL_CALL_SECONDS
        if now.seconds < pause.until_seconds or (pause.times and waiting):
            raise BudgetExhausted(
                "quota",
                "the cloud says that the account's quota is used up; no calls are made for now",
                until_at=now.at + max(pause.until_seconds - now.seconds, 1.0),
                advice="Find out which other tool uses the account's quota of calls, and lower"
                " quota.share. After the pause, one call is made as a test.",
            )


def fair_intervals(
    demands: Mapping[str, Demand], calls: float, period_seconds: float
) -> dict[str, float]:
    """The interval of each cluster such that all together need at most ``calls`` in a period. Pure.

    Max-min fair: clusters that need less than their part keep their interval; what they leave is
    divided among the others, so that a costly cluster stretches itself and not its neighbours. One
    half of the parts is equal, so that no interval becomes longer than twice what that would make it;
    the other half goes by what has happened. Those of infinite worth have up to half of all before.
    """
    wanted = {
        name: demand.calls * period_seconds / demand.interval_seconds
        for name, demand in demands.items()
    }
    intervals = {name: demand.interval_seconds for name, demand in demands.items()}
    shared = {name: demand.worth for name, demand in demands.items() if demand.worth < math.inf}
    first = {name: need for name, need in wanted.items() if name not in shared}
    stretch = max(1.0, sum(first.values()) / (calls / 2))
    intervals |= {name: intervals[name] * stretch for name in first}
    left = calls - sum(first.values()) / stretch
    worth = sum(shared.values())
    weights = {
        name: 1 / len(shared) + (each / worth if worth else 0.0) for name, each in shared.items()
    }
    weight_left = sum(weights.values())
    for name in sorted(shared, key=lambda name: wanted[name] / weights[name]):
        part = left * weights[name] / weight_left
        if wanted[name] > part:
            intervals[name] = demands[name].calls * period_seconds / part
        left -= min(wanted[name], part)
        weight_left -= weights[name]
    return intervals


def _calls_per_second(demands: Mapping[str, Demand], intervals: Mapping[str, float]) -> float:
    return sum(demand.calls / intervals[name] for name, demand in demands.items())
