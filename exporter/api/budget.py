"""What an account may still spend, and how its clusters share it.

One sliding window for each account: in any ``period``, at most ``requests * share`` calls. The calls
are written down before they are sent, by the handed-in ``SpendingLog``, so that neither a kill nor a
second process on the same account makes the program forget one.
"""

import math
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from exporter.clock import Clock
from exporter.errors import BudgetExhausted
from exporter.model import Pause

FIRST_PAUSE_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 4 * 3600.0
"""After code 2500: the first pause, doubled each time the careful call is refused again."""

PLANNED_PART = 0.9
"""Of the allowed calls, what refreshes are planned to use; the rest is for audits and surprises."""

_ROUNDING_SECONDS = 1e-6


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


def longer_pause(pause: Pause, now_at: float) -> Pause:
    """The pause after one that did not help. Pure."""
    seconds = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**pause.times)
    return Pause(now_at + seconds, pause.times + 1)


class SpendingLog(Protocol):
    """Where an account's calls are written down; see ``ledger.spending`` for the one on disk."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes out while calls are counted and written."""
        ...

    def calls_since(self, moment_at: float) -> list[float]:
        """When calls were made, oldest first."""
        ...

    def not_after(self, now_at: float) -> None:
        """The clock was perhaps set back: no call lies in the future."""
        ...

    def add_call(self, at: float) -> None:
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
        self._careful_call_at: float | None = None

    def admit(self, cluster_name: str) -> None:
        """See ``CallGate``."""
        del cluster_name
        with self._lock, self._log.locked():
            now_at = self._clock.now_at()
            self._log.not_after(now_at)
            self._check_pause(now_at)
            calls = self._log.calls_since(now_at - self.period_seconds)
            if len(calls) >= self.allowed:
                until_at = calls[-self.allowed] + self.period_seconds
                raise BudgetExhausted(
                    "budget",
                    f"the {self.allowed} calls that this exporter may make in"
                    f" {self.period_seconds:.0f} s are used up",
                    until_at=until_at + _ROUNDING_SECONDS,
                    advice="Wait; the daemon goes on by itself. Lengthen the interval, watch fewer"
                    " clusters with this account, or raise quota.share if no other tool needs the"
                    " calls.",
                )
            if self._log.pause().times:
                self._careful_call_at = now_at
            self._log.add_call(now_at)

    def over_quota(self) -> None:
        """See ``CallGate``."""
        with self._lock, self._log.locked():
            now_at = self._clock.now_at()
            pause = self._log.pause()
            self._careful_call_at = None
            if pause.until_at <= now_at:  # else another call of the same moment has said so
                self._log.set_pause(longer_pause(pause, now_at))

    def passed(self) -> None:
        """See ``CallGate``."""
        with self._lock:
            if self._careful_call_at is None and not self._log.pause().times:
                return
            with self._log.locked():
                pause = self._log.pause()
                if pause.times and pause.until_at <= self._clock.now_at():
                    self._log.set_pause(Pause())
                self._careful_call_at = None

    def used(self, now_at: float) -> int:
        """Calls made within the window that ends now, as far as this process knows."""
        return len(self._log.calls_since(now_at - self.period_seconds))

    def declare(self, cluster_name: str, demand: Demand | None) -> None:
        """What a cluster needs; None if it is no longer there."""
        with self._lock:
            if demand is None:
                self._demands.pop(cluster_name, None)
            else:
                self._demands[cluster_name] = demand

    def effective_interval_seconds(self, cluster_name: str) -> float:
        """How often a declared cluster can be synced without the share being exceeded."""
        with self._lock:
            demands = dict(self._demands)
        return fair_intervals(demands, self.allowed * PLANNED_PART, self.period_seconds)[
            cluster_name
        ]

    def left_for(self, cluster_name: str, *, keep_part: float) -> int:
        """Calls that may be made now by a cluster if this part of what refreshes need within one
        window is to be kept for them. At most the cluster's fair part."""
        now_at = self._clock.now_at()
        with self._lock:
            demands = dict(self._demands)
        intervals = fair_intervals(demands, self.allowed * PLANNED_PART, self.period_seconds)
        needed = sum(
            demand.calls * self.period_seconds / intervals[name] for name, demand in demands.items()
        )
        left = self.allowed - self.used(now_at) - math.ceil(keep_part * needed)
        return max(0, left)

    def _check_pause(self, now_at: float) -> None:
        pause = self._log.pause()
        waiting = self._careful_call_at is not None and now_at - self._careful_call_at < 60
        if now_at < pause.until_at or (pause.times and waiting):
            raise BudgetExhausted(
                "quota",
                "the cloud says that the account's quota is used up; no calls are made meanwhile",
                until_at=max(pause.until_at, now_at + 1),
                advice="Find out which other tool uses the same account's quota of calls, and lower"
                " quota.share. One careful call is made when the pause is over.",
            )


def fair_intervals(
    demands: Mapping[str, Demand], calls: float, period_seconds: float
) -> dict[str, float]:
    """The interval of each cluster such that all together need at most ``calls`` in a period. Pure.

    Max-min fair: clusters that need less than an equal part keep their interval; what they leave is
    divided among the others, so that a costly cluster stretches itself and not its neighbours.
    """
    wanted = {
        name: demand.calls * period_seconds / demand.interval_seconds
        for name, demand in demands.items()
    }
    intervals = {name: demand.interval_seconds for name, demand in demands.items()}
    left = calls
    by_need = sorted(wanted, key=lambda name: wanted[name])
    for place, name in enumerate(by_need):
        part = left / (len(by_need) - place)
        if wanted[name] > part:
            intervals[name] = demands[name].calls * period_seconds / part
        left -= min(wanted[name], part)
    return intervals
