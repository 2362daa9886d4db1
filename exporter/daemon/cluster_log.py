"""What the log says about one cluster, derived from what is published. Time is passed in.

What stays as it was is not logged, and what comes and goes is not logged each time.
"""

import logging
import threading
from collections.abc import Collection, Hashable

from exporter.model import ClusterIdentity
from exporter.profile import TRAITS, UNKNOWN, Profile, zone_name
from exporter.snapshot import ClusterState, SyncFailure

_LOG = logging.getLogger(__name__)

FAILURE_SECONDS = 3600.0
"""How often a failure is told that goes on, or returns."""
LASTING_SECONDS = 300.0
"""One that returns within that hour is told once it has lasted so long. So are intervals that are stretched."""
CHANGE_SECONDS = 1800.0
"""How often the same change is told, should it alternate."""
HISTORY_SECONDS = 1800.0
"""How often it is told how far the history is, and how long the rest of it takes."""
STRETCHED = 1.1
_CONFIGURED = {"configured", "contradicted"}
"""Zones that are not found out, so that the ledger does not follow them."""


class IntervalLog:
    """The line about the intervals of an account that are stretched, however many clusters it has. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stretched: dict[str, ClusterState] = {}
        self._since_seconds = 0.0
        self._told_seconds = float("-inf")

    def note(self, state: ClusterState, wanted_seconds: float, now_seconds: float) -> None:
        """Log once that intervals are stretched, if they are for long: the first syncs need more calls than later ones.
        ``wanted_seconds`` is the interval that the configuration asks for."""
        with self._lock:
            if state.effective_interval_seconds <= wanted_seconds * STRETCHED:
                self._stretched.pop(state.identity.name, None)
                return
            if not self._stretched:
                self._since_seconds = now_seconds
            self._stretched[state.identity.name] = state
            lasting = now_seconds - self._since_seconds >= LASTING_SECONDS
            told = self._told_seconds > self._since_seconds
            if lasting and not told and now_seconds - self._told_seconds >= CHANGE_SECONDS:
                self._told_seconds = now_seconds
                _warn_of_intervals(self._stretched.values())

    def forget(self, name: str) -> None:
        """A cluster is no longer polled."""
        with self._lock:
            self._stretched.pop(name, None)


def _warn_of_intervals(stretched: Collection[ClusterState]) -> None:
    intervals = {each.identity: round(each.effective_interval_seconds) for each in stretched}
    longest = max(intervals, key=intervals.__getitem__)
    advice = "Lengthen collection.interval, raise quota.share, or give some clusters an account of their own."
    if any(each.effective_interval_seconds > each.staleness_seconds for each in stretched):
        advice += " Counts are withdrawn between two syncs: raise collection.staleness."
    _LOG.warning(
        "intervals are stretched: the account's share of calls does not allow more",
        extra=longest.fields(
            clusters=len(intervals), longest_seconds=intervals[longest],
            shortest_seconds=min(intervals.values()), advice=advice,
        ),
    )  # fmt: skip


class ClusterLog:
    """The lines about one cluster, also if its poller begins anew. For one thread."""

    def __init__(self) -> None:
        self._before: ClusterState | None = None
        self._strategy: str | None = None
        """The last one that was seen; None before the first sync."""
        self._now_seconds = 0.0
        self._told_seconds: dict[Hashable, float] = {}
        """When each thing was last logged, so that it is logged only now and then."""
        self._profile: Profile | None = None
        """As it was last seen; None before the first contact."""
        self._failures = 0
        """In a row."""
        self._failing_since_seconds = 0.0
        self._failure_told = False
        self._untold = 0
        """Failures since the last line about one."""

    def note(self, state: ClusterState, now_seconds: float) -> None:
        """Log what is new in a state that is being published."""
        before = self._before or ClusterState(state.identity)
        self._before, self._now_seconds = state, now_seconds
        if state.failure is None:
            if state.tried:
                self._succeeded(state)
        elif state.failure is not before.failure:
            self._failed(state.identity, state.failure)
        self._tell_strategy(state)
        self._tell_profile(state)
        self._tell_history(before, state)

    def _failed(self, who: ClusterIdentity, failure: SyncFailure) -> None:
        if not self._failures:
            self._failing_since_seconds = self._now_seconds
        self._failures += 1
        what = ("failure", failure.reason)
        lasting = self._now_seconds - self._failing_since_seconds >= LASTING_SECONDS
        if lasting and not self._failure_told:
            self._told_seconds.pop(what, None)
        if self._may_tell(what, FAILURE_SECONDS):
            _warn(who, "the cluster could not be synced", failure, unlogged_before=self._untold)
            self._failure_told, self._untold = True, 0
        else:
            self._untold += 1

    def _succeeded(self, state: ClusterState) -> None:
        if self._failure_told:
            failures = state.identity.fields(failed_syncs=self._failures)
            _LOG.info("the cluster is synced again", extra=failures)
        self._failures, self._failure_told = 0, False

    def _tell_strategy(self, state: ClusterState) -> None:
        before = self._strategy
        if state.strategy in (None, before):
            return
        self._strategy = state.strategy
        fields = state.identity.fields(strategy=state.strategy)
        if before is None:
            _LOG.info("the first sync is done", extra=fields)
        elif self._may_tell("strategy", CHANGE_SECONDS):
            _LOG.info("the sync strategy has changed", extra=fields)

    def _tell_profile(self, state: ClusterState) -> None:
        before, known = self._profile, state.profile
        if not state.tried or known in (before, Profile()):
            return
        self._profile = known
        if before is None:
            found = {name: getattr(known, name).value for name in TRAITS}
            _LOG.info("the server's profile", extra=state.identity.fields(**found))
            return
        for name in TRAITS:
            old, new = getattr(before, name), getattr(known, name)
            asked_anew = new.value == UNKNOWN and not new.evidence  # nothing has contradicted it
            if asked_anew or old.value == new.value:
                continue
            if self._may_tell((name, new.value), CHANGE_SECONDS):
                _LOG.info(
                    "a trait of the server's profile was found"
                    if old.value == UNKNOWN
                    else "a trait of the server's profile has changed",
                    extra=state.identity.fields(
                        trait=name, old=old.value, new=new.value, evidence=new.evidence
                    ),
                )  # fmt: skip
        self._tell_zone(state.identity, before, known)

    @staticmethod
    def _tell_zone(who: ClusterIdentity, before: Profile, known: Profile) -> None:
        if _CONFIGURED & {before.zone.value, known.zone.value}:
            return
        old, new = zone_name(before.zone_seconds), zone_name(known.zone_seconds)
        if old != new:
            _LOG.info(
                "the ledger begins anew, as its times were read in another zone; the history is read again",
                extra=who.fields(old=old, new=new),
            )

    def _tell_history(self, before: ClusterState, state: ClusterState) -> None:
        obstacle, shown = state.history_obstacle, state.snapshot
        if obstacle is not None:
            new = obstacle is not before.history_obstacle
            if new and self._may_tell(("history", obstacle.reason), FAILURE_SECONDS):
                _warn(state.identity, "the history cannot be read to its end", obstacle)
            return
        if shown is None:
            return
        known = shown.history_known
        if shown.history_complete:
            if self._told_seconds.pop("history", None) is not None:
                _LOG.info("the history is complete", extra=state.identity.fields(known=known))
            return
        moves = before.snapshot is not None and before.snapshot.history_known != known
        if moves and self._may_tell("history", HISTORY_SECONDS):
            fields = state.identity.fields(known=known, expected=shown.history_expected)
            if state.history_left_seconds:
                fields["left_seconds"] = round(state.history_left_seconds)
            _LOG.info("reading the history", extra=fields)

    def _may_tell(self, what: Hashable, every_seconds: float) -> bool:
        """Whether it may be logged now; if so, it counts as logged."""
        last_seconds = self._told_seconds.get(what)
        if last_seconds is not None and self._now_seconds - last_seconds < every_seconds:
            return False
        self._told_seconds[what] = self._now_seconds
        return True


def _warn(who: ClusterIdentity, message: str, failure: SyncFailure, **more: object) -> None:
    advice = {"advice": failure.advice} if failure.advice else {}
    fields = who.fields(reason=failure.reason, cause=failure.message, **advice, **more)
    _LOG.warning(message, extra=fields)
