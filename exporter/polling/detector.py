"""Decides from a cluster's counters in cluster/list whether it needs a sync.

A *listing* is what one answer of cluster/list tells about the cluster. What it tells was true when it was
asked for, or later. So a sync that began after that has seen everything that the listing has seen, and
whatever happens afterwards must move the counters away from that listing. Moves in opposite directions
may cancel each other. What they hide is found by a sync that is forced once in an audit interval,
although the counters have not moved.

``Detector`` decides, and is pure; ``ChangeDetection`` feeds it with the listings and syncs of one cluster, and uses
what it finds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from exporter.api.lists import Counters, Listings
from exporter.clock import Clock, Instant
from exporter.ledger.store import Ledger
from exporter.model import END_STATUSES
from exporter.polling.schedule import forced_seconds
from exporter.sync.context import SyncSettings
from exporter.sync.intake import LATE_SECONDS
from exporter.sync.replica import Refreshed, Replica

SUSPENDED = frozenset({"stopped", "suspended"})
"""Statuses of jobs that were stopped half-way; servers may count these as running."""

COUNTED = frozenset({"pending", "running"}) | SUSPENDED | END_STATUSES
"""The statuses of a ledger that are compared with the counters."""

FRESH_INTERVALS = 1.5
"""A listing is used for this many listing intervals."""


@dataclass(frozen=True, slots=True)
class SyncResult:
    """One successful sync. Moments are those of the monotonic clock."""

    began_seconds: float
    ended_seconds: float
    jobs: Mapping[str, int]
    """Jobs in the ledger after it, by status, for those of ``COUNTED``."""
    changed_by_seconds: float | None
    """When the oldest change that it found has happened, at the latest; None if it found none."""


class Finding(NamedTuple):
    """Whether the counters were found to follow the list of jobs."""

    follow: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """When to sync a cluster."""

    ask: Literal["now", "when due", "later"]
    proven: Instant | None = None
    """With ``later``: the moment up to which nothing has changed, if known."""
    until_seconds: float = 0.0
    """With ``later``: when to decide again, at the latest."""


WHEN_DUE = Verdict("when due")


class Detector:
    """Compares one cluster's listings with each other and with its syncs."""

    def __init__(self) -> None:
        self.last_sync: SyncResult | None = None
        self._newest: Counters | None = None
        self._base: Counters | None = None
        """The newest listing that was asked for before the last sync began; or a later one, as long as all had the same
        counters."""
        self._moved = False
        """Whether a listing after the last sync had other counters, even if a later one has not."""
        self._stood = False
        """Whether the counters before the last sync were those before the sync before that."""
        self._unshown = False
        """Whether a change was found while they stood: the next listing must have other counters."""
        self._equalled: tuple[int, int] | None = None
        """The pending and running jobs of the last listing that was equal to the ledger."""

    def listed(
        self, counters: Counters | None, *, neighbours_follow: bool = False
    ) -> Finding | None:
        """Take in the newest listing; None if the call failed or did not list the cluster.
        ``neighbours_follow``: whether counters of another cluster in it were found to follow."""
        if counters is None or counters == self._newest:
            self._newest = counters
            return None
        self._newest, last_sync = counters, self.last_sync
        at_rest = self._base is not None and counters.jobs == self._base.jobs
        if at_rest and not self._moved:
            self._base = counters
        if last_sync is None or counters.asked.seconds <= last_sync.ended_seconds:
            return None
        self._moved = self._moved or not at_rest
        unshown, self._unshown = self._unshown, False
        if unshown and at_rest:
            return Finding(follow=False, evidence="a change has not moved the counters")
        return self._compare(
            counters, last_sync, at_rest=at_rest, neighbours_follow=neighbours_follow
        )

    def _compare(
        self, counters: Counters, last_sync: SyncResult, *, at_rest: bool, neighbours_follow: bool
    ) -> Finding | None:
        """Compare a listing with the ledger. ``at_rest``: whether its counters are those before the last sync."""
        if not active_counts_match(counters.jobs, last_sync.jobs):
            if at_rest and self._stood:
                return Finding(follow=False, evidence="at rest the counters differ from the list")
            return None
        equalled, self._equalled = self._equalled, _active(counters.jobs)
        if equalled not in (None, self._equalled):
            return Finding(follow=True, evidence="the counters have moved with the list")
        if at_rest and neighbours_follow:
            return Finding(
                follow=True, evidence="the counters equal the list, and those of neighbours move"
            )
        return None

    def synced(self, last_sync: SyncResult) -> Finding | None:
        """Take in the result of a sync."""
        before, newest = self._base, self._newest
        if newest is not None and newest.asked.seconds <= last_sync.began_seconds:
            self._base = newest
        self.last_sync, self._moved = last_sync, False
        if before is None or self._base is None:
            return None
        self._stood = self._base.jobs == before.jobs
        self._unshown = self._unshown and self._stood
        if last_sync.changed_by_seconds is None:
            return None
        if last_sync.changed_by_seconds < before.asked.seconds:
            return Finding(follow=False, evidence="the counters stood still after a change")
        self._unshown = self._stood
        return None

    def verdict(
        self,
        now_seconds: float,
        *,
        follow: bool,
        listing_interval_seconds: float,
        forced_seconds: float,
    ) -> Verdict:
        """When to sync. ``follow``: whether the counters are known to follow the list;
        ``forced_seconds``: how long after a sync the next one is forced."""
        newest, last_sync, base = self._newest, self.last_sync, self._base
        if not follow or newest is None or last_sync is None or base is None:
            return WHEN_DUE
        forced_at_seconds = last_sync.began_seconds + forced_seconds
        fresh_until_seconds = newest.asked.seconds + FRESH_INTERVALS * listing_interval_seconds
        until_seconds = min(fresh_until_seconds, forced_at_seconds)
        of_later = newest.asked.seconds > last_sync.ended_seconds
        if now_seconds >= forced_at_seconds or self._moved:
            return Verdict("now")
        if now_seconds >= until_seconds or (
            of_later and not active_counts_match(newest.jobs, last_sync.jobs)
        ):
            return WHEN_DUE
        return Verdict("later", newest.asked if of_later else None, until_seconds)


class ChangeDetection:
    """Spares one cluster the syncs that would find no change."""

    def __init__(
        self, listings: Listings | None, cluster_id: str, settings: SyncSettings, clock: Clock
    ) -> None:
        """``listings`` is None if there is no change detector."""
        self._listings = listings
        self._cluster_id = cluster_id
        self._settings = settings
        self._clock = clock
        self._detector = Detector()

    def verdict(self, replica: Replica | None) -> Verdict:
        """When to sync the cluster, by the newest listing. Tells the replica which counts the counters confirm, so that
        the next sync need not check them."""
        listings = self._listings
        if listings is None or replica is None:
            return WHEN_DUE
        newest = listings.newest(self._cluster_id)
        finding = self._detector.listed(newest, neighbours_follow=listings.neighbours_follow)
        self._take(replica, listings, finding)
        if not replica.all_resolved:
            return WHEN_DUE
        verdict = self._detector.verdict(
            self._clock.monotonic_seconds(),
            follow=replica.profile.counters.value == "follow",
            listing_interval_seconds=listings.interval_seconds,
            forced_seconds=forced_seconds(self._settings),
        )
        last_sync = self._detector.last_sync
        if newest is not None and verdict.proven is not None and last_sync is not None:
            listings.used = True
            counts = _counts(replica.ledger)
            if active_counts_match(newest.jobs, counts) and ended_counts_match(newest.jobs, counts):
                replica.counted_right(newest.asked.seconds - last_sync.began_seconds)
        return verdict

    def after_sync(self, replica: Replica, refreshed: Refreshed, began: Instant) -> None:
        """Tell the detector what a sync has found, and so whether the counters had to move."""
        if self._listings is None:
            return
        ended_seconds = self._clock.monotonic_seconds()
        began_at = replica.ledger.progress.last_success_at or began.at  # by the server's clock
        changed_by_seconds = None
        if refreshed.changed_from_at is not None:
            ago_seconds = began_at - refreshed.changed_from_at
            changed_by_seconds = min(ended_seconds, began.seconds - ago_seconds + LATE_SECONDS)
        last_sync = SyncResult(
            began.seconds, ended_seconds, _counts(replica.ledger), changed_by_seconds
        )
        self._take(replica, self._listings, self._detector.synced(last_sync))

    def _take(self, replica: Replica, listings: Listings, finding: Finding | None) -> None:
        if finding is not None:
            follow, evidence = finding
            if replica.note_counters(evidence, self._clock.now_at(), follow=follow):
                listings.neighbours_follow = follow


def active_counts_match(counted: Mapping[str, int], jobs: Mapping[str, int]) -> bool:
    """Whether the counters of pending and running jobs equal a ledger's, where suspended jobs may be
    counted as running or not. Pure."""
    running = jobs.get("running", 0)
    suspended = sum(jobs.get(each, 0) for each in SUSPENDED)
    return counted.get("pending") == jobs.get("pending", 0) and counted.get("running") in (
        running,
        running + suspended,
    )


def ended_counts_match(counted: Mapping[str, int], jobs: Mapping[str, int]) -> bool:
    """The same for finished jobs; failed and cancelled ones may be counted as finished or not. Pure."""
    ended = sum(jobs.get(each, 0) for each in END_STATUSES)
    return counted.get("finished") in (jobs.get("finished", 0), ended)


def _active(counted: Mapping[str, int]) -> tuple[int, int]:
    return counted.get("pending", 0), counted.get("running", 0)


def _counts(ledger: Ledger) -> dict[str, int]:
    return {each: ledger.count_status(each) for each in COUNTED}
