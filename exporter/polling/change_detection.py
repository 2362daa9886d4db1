"""Feeds one cluster's change detector with listings and syncs, and uses its findings."""

from exporter.clock import Clock, Instant
from exporter.ledger.store import Ledger
from exporter.polling.calling import Listings
from exporter.polling.detector import (
    COUNTED,
    Detector,
    Finding,
    SyncResult,
    Verdict,
    active_counts_match,
    ended_counts_match,
)
from exporter.polling.schedule import SMOOTHING
from exporter.sync.context import SyncSettings
from exporter.sync.intake import LATE_SECONDS
from exporter.sync.replica import Refreshed, Replica

LONGEST_APART_SECONDS = 1200.0
"""A cluster gets a sync at least this often, however rare audits are: one without a sync for half an hour
is taken for stuck."""
_WHEN_DUE = Verdict("when due")
_LEAD_SECONDS = 10.0
"""The time that a sync may take once it is due."""


def forced_seconds(settings: SyncSettings) -> float:
    """How long after a sync the next one is forced, whatever the counters say: soon enough that every
    change is found within one audit interval. Pure."""
    beside = settings.interval_seconds + _LEAD_SECONDS
    apart = min(settings.audit_interval_seconds - beside, LONGEST_APART_SECONDS)
    return max(settings.interval_seconds, apart)


class ChangeDetection:
    """Spares one cluster the syncs that would find no change."""

    def __init__(self, listings: Listings | None, settings: SyncSettings, clock: Clock) -> None:
        """``listings`` is None if there is no change detector."""
        self._listings = listings
        self._settings = settings
        self._clock = clock
        self._detector = Detector()
        self._synced_part = 1.0
        self._proven: Instant | None = None
        self._synced: Instant | None = None
        self._matched: Instant | None = None

    @property
    def synced_part(self) -> float:
        """The part of the intervals that lately got a sync."""
        least = self._settings.interval_seconds / forced_seconds(self._settings)
        return max(self._synced_part, min(1.0, least))

    def verdict(self, replica: Replica | None) -> Verdict:
        """When to sync the cluster, by the newest listing."""
        listings = self._listings
        if listings is None or replica is None:
            return _WHEN_DUE
        newest = listings.newest()
        self._take(
            replica,
            self._detector.listed(newest, neighbours_follow=listings.neighbours_follow),
        )
        now_seconds = self._clock.monotonic_seconds()
        if not replica.all_resolved:
            return _WHEN_DUE
        verdict = self._detector.verdict(
            now_seconds,
            follow=replica.profile.counters.value == "follow",
            listing_interval_seconds=listings.interval_seconds,
            forced_seconds=forced_seconds(self._settings),
        )
        if verdict.proven is not None and verdict.proven != self._proven:
            self._proven = verdict.proven
            self._note_synced(0.0, listings.interval_seconds / self._settings.interval_seconds)
            listings.note_use()
        if newest is not None and verdict.proven is not None:
            counts = _counts(replica.ledger)
            if active_counts_match(newest.jobs, counts) and ended_counts_match(newest.jobs, counts):
                self._matched = newest.asked
        return verdict

    def before_sync(self, replica: Replica) -> None:
        """Tell the replica which counts the counters have confirmed, so that the sync need not check them."""
        if self._matched is not None and self._synced is not None:
            replica.counted_right(self._matched.at - self._synced.at)
            self._matched = None

    def after_sync(self, replica: Replica, refreshed: Refreshed, began: Instant) -> None:
        """Tell the detector what a sync has found, and so whether the counters had to move."""
        if self._listings is None:
            return
        self._note_synced(1.0)
        self._synced, ended_seconds = began, self._clock.monotonic_seconds()
        ahead_seconds = (replica.ledger.progress.last_success_at or began.at) - began.at
        changed_by_seconds = None
        if refreshed.changed_from_at is not None:
            since_seconds = refreshed.changed_from_at - ahead_seconds - began.at
            changed_by_seconds = min(ended_seconds, began.seconds + since_seconds + LATE_SECONDS)
        last_sync = SyncResult(
            began.seconds, ended_seconds, _counts(replica.ledger), changed_by_seconds
        )
        self._take(replica, self._detector.synced(last_sync))

    def _take(self, replica: Replica, finding: Finding | None) -> None:
        if finding is None or self._listings is None:
            return
        follow, evidence = finding
        if replica.note_counters(evidence, self._clock.now_at(), follow=follow):
            self._listings.neighbours_follow = follow

    def _note_synced(self, asked: float, intervals: float = 1.0) -> None:
        """Take into the moving mean whether there was a sync (1) or not (0), in this many intervals."""
        self._synced_part += SMOOTHING * min(1.0, intervals) * (asked - self._synced_part)


def _counts(ledger: Ledger) -> dict[str, int]:
    return {each: ledger.count_status(each) for each in COUNTED}
