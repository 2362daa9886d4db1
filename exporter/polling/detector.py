"""Whether a cluster has to be asked for its jobs, or its counters in cluster/list show that nothing has
changed. Pure: listings and looks come in, a verdict goes out.

A listing tells what was true when it was asked for, or later: so one that was asked for before a look
began has nothing that the look has not, and whatever happens afterwards must move the counters away
from it. Opposite moves may cancel; what they hide is found by a look that is made although the
counters stand still, once in an audit interval.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from exporter.clock import Instant
from exporter.model import END_STATUSES

SUSPENDED = frozenset({"stopped", "suspended"})
"""The words for jobs that wait in the middle; servers may count them as running."""

COUNTED = frozenset({"pending", "running"}) | SUSPENDED | END_STATUSES
"""The statuses of a ledger that counters are held against."""

FRESH_INTERVALS = 1.5
"""A listing is used for so many of the intervals in which listings come."""


class Counters(NamedTuple):
    """What one listing tells of a cluster's jobs."""

    jobs: Mapping[str, int]
    """By status, as far as it is told."""
    asked: Instant
    """Just before the listing was asked for."""


@dataclass(frozen=True, slots=True)
class SyncResult:
    """One sync that went well. Moments are those of the clock that nobody sets."""

    began_seconds: float
    ended_seconds: float
    jobs: Mapping[str, int]
    """By status, those of ``COUNTED``, as the ledger has them after it."""
    changed_by_seconds: float | None
    """When the oldest change that it found had happened, at the latest; None if it found none."""


class Finding(NamedTuple):
    """What has been seen of the counters."""

    follow: bool
    """Whether they follow the list; else they do not."""
    evidence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """When a cluster is to be asked for its jobs."""

    ask: Literal["now", "when due", "later"]
    proven: Instant | None = None
    """With ``later``: the moment up to which nothing has changed, if that is known."""
    until_seconds: float = 0.0
    """With ``later``: when there is to be another verdict at the latest."""


class Detector:
    """What is known of one cluster's counters."""

    def __init__(self) -> None:
        self._newest: Counters | None = None
        self._base: Counters | None = None
        """The newest that was asked for before the last look began."""
        self._before: Counters | None = None
        """The same of the look before."""
        self._still_seconds = float("-inf")
        """Until when the counters have been seen as they are in ``_base``."""
        self._last_sync: SyncResult | None = None
        self._unshown: Mapping[str, int] | None = None
        """Counters that a change must have moved by the next listing."""
        self._equalled: Counters | None = None
        """When they were right the last time."""
        self._moved = False
        """Whether a listing after the last look has shown a move, whatever the next one shows."""

    def listed(
        self, counters: Counters | None, *, neighbours_follow: bool = False
    ) -> Finding | None:
        """Take what the newest listing tells; None if it failed or has nothing about the cluster.
        ``neighbours_follow``: the counters of another cluster in it have been seen to follow."""
        if counters is None or counters == self._newest:
            self._newest = counters
            return None
        self._newest, last_sync, base = counters, self._last_sync, self._base
        of_later = last_sync is not None and counters.asked.seconds > last_sync.ended_seconds
        if base is not None and counters.jobs != base.jobs:
            self._moved = self._moved or of_later
        elif base is not None and not self._moved:
            self._still_seconds = counters.asked.seconds
        if last_sync is None or not of_later:
            return None
        unshown, self._unshown = self._unshown, None
        if unshown is not None and counters.jobs == unshown:
            return Finding(follow=False, evidence="a change has not moved them")
        return self._held_against(last_sync, counters, neighbours_follow=neighbours_follow)

    def _held_against(
        self, last_sync: SyncResult, counters: Counters, *, neighbours_follow: bool
    ) -> Finding | None:
        at_rest = self._base is not None and self._base.jobs == counters.jobs
        if not active_counts_match(counters.jobs, last_sync.jobs):
            longer = self._before is not None and self._before.jobs == counters.jobs
            if at_rest and longer:
                return Finding(follow=False, evidence="at rest they differ from the list")
            return None
        equalled, self._equalled = self._equalled, counters
        if equalled is not None and _active(equalled.jobs) != _active(counters.jobs):
            return Finding(follow=True, evidence="they have moved with the list")
        if at_rest and neighbours_follow:
            return Finding(follow=True, evidence="they equal the list, and its neighbours' move")
        return None

    def synced(self, last_sync: SyncResult) -> Finding | None:
        """Take what a look has found."""
        before, newest = self._base, self._newest
        still_seconds = self._still_seconds
        if newest is not None and newest.asked.seconds <= last_sync.began_seconds:
            if before is None or newest.jobs != before.jobs:
                self._still_seconds = newest.asked.seconds
            self._base = newest
        self._before, self._last_sync, self._moved = before, last_sync, False
        if before is None or self._base is None:
            return None
        if self._base.jobs != before.jobs:
            self._unshown = None
        if last_sync.changed_by_seconds is None:
            return None
        if last_sync.changed_by_seconds < still_seconds:
            return Finding(follow=False, evidence="they stood still after a change")
        if self._base.jobs == before.jobs:
            self._unshown = before.jobs
        return None

    def verdict(
        self,
        now_seconds: float,
        *,
        follow: bool,
        listing_interval_seconds: float,
        forced_seconds: float,
    ) -> Verdict:
        """When to ask. ``follow``: whether the counters are known to follow the list;
        ``forced_seconds``: how long after a look the next one is made, whatever they say."""
        newest, last_sync, base = self._newest, self._last_sync, self._base
        if not follow or newest is None or last_sync is None or base is None:
            return Verdict("when due")
        forced_at_seconds = last_sync.began_seconds + forced_seconds
        fresh_until_seconds = newest.asked.seconds + FRESH_INTERVALS * listing_interval_seconds
        until_seconds = min(fresh_until_seconds, forced_at_seconds)
        of_later = newest.asked.seconds > last_sync.ended_seconds
        if now_seconds >= forced_at_seconds or self._moved:
            return Verdict("now")
        if now_seconds >= until_seconds or (
            of_later and not active_counts_match(newest.jobs, last_sync.jobs)
        ):
            return Verdict("when due")
        return Verdict("later", newest.asked if of_later else None, until_seconds)


def active_counts_match(counted: Mapping[str, int], jobs: Mapping[str, int]) -> bool:
    """Whether counters equal a ledger's active jobs: those that wait, and those that run, suspended ones
    among them or not. Pure."""
    running = jobs.get("running", 0)
    suspended = sum(jobs.get(each, 0) for each in SUSPENDED)
    return counted.get("pending") == jobs.get("pending", 0) and counted.get("running") in (
        running,
        running + suspended,
    )


def ended_counts_match(counted: Mapping[str, int], jobs: Mapping[str, int]) -> bool:
    """The same of jobs that have ended, failed and cancelled ones among the finished or not. Pure."""
    ended = sum(jobs.get(each, 0) for each in END_STATUSES)
    return counted.get("finished") in (jobs.get("finished", 0), ended)


def _active(counted: Mapping[str, int]) -> tuple[int, int]:
    return counted.get("pending", 0), counted.get("running", 0)
