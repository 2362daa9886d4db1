"""One cluster's change detector at work: which listings it is shown, and what becomes of its findings."""

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
from exporter.polling.sync_cost import SMOOTHING
from exporter.sync.context import SyncSettings
from exporter.sync.intake import LATE_SECONDS
from exporter.sync.replica import Refreshed, Replica

LONGEST_APART_SECONDS = 1200.0
"""However rare audits are, a cluster is looked at so often: one that is not for half an hour is stuck."""
_WHEN_DUE = Verdict("when due")
_LEAD_SECONDS = 10.0
"""In which a sync that is due has been made."""


def forced_seconds(settings: SyncSettings) -> float:
    """How long after a sync the next one is made, whatever the counters say: so that all is proven
    within one audit interval of any change, also if it was found an interval later. Pure."""
    beside = settings.interval_seconds + _LEAD_SECONDS
    apart = min(settings.audit_interval_seconds - beside, LONGEST_APART_SECONDS)
    return max(settings.interval_seconds, apart)


class ChangeDetection:
    """Spares a cluster the syncs that would find nothing."""

    def __init__(self, listings: Listings | None, settings: SyncSettings, clock: Clock) -> None:
        """``listings``: None where there is no detector."""
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
        """The part of the intervals that comes to a sync, as it has lately been."""
        least = self._settings.interval_seconds / forced_seconds(self._settings)
        return max(self._synced_part, min(1.0, least))

    def verdict(self, replica: Replica | None) -> Verdict:
        """When the cluster is to be asked, by the newest listing."""
        listings = self._listings
        if listings is None or replica is None:
            return _WHEN_DUE
        newest = listings.newest()
        self._take(
            replica,
            self._detector.listed(newest, neighbours_follow=listings.neighbours_follow),
        )
        now_seconds = self._clock.monotonic_seconds()
        if not replica.settled:
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
        """What the counters have proven need not be checked by the sync that begins."""
        if self._matched is not None and self._synced is not None:
            replica.counted_right(self._matched.at - self._synced.at)
            self._matched = None

    def after_sync(self, replica: Replica, refreshed: Refreshed, began: Instant) -> None:
        """What a sync has found, and so whether the counters ought to have moved."""
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
        """``intervals``: how many of the cluster's intervals that is about."""
        self._synced_part += SMOOTHING * min(1.0, intervals) * (asked - self._synced_part)


def _counts(ledger: Ledger) -> dict[str, int]:
    return {each: ledger.count_status(each) for each in COUNTED}
