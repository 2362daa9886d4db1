"""One sync of one cluster: which way the profile allows, and what is kept of it."""

from dataclasses import dataclass
from random import Random

import msgspec

from exporter.errors import RefusedError
from exporter.ledger.store import Ledger, Marks
from exporter.model import PAGE_LIMIT
from exporter.profile import UNKNOWN, Profile, Trait, TraitName
from exporter.sync import by_change, by_scan, by_submission
from exporter.sync.asking import Allowance, Asking, CollapseUnconfirmed, Contradiction, Purpose
from exporter.sync.calibration import (
    ORDER_CALLS,
    calibrate_depth,
    calibrate_filter,
    calibrate_order,
    learn_lag,
    learn_zone,
    learn_zone_of,
)
from exporter.sync.context import (
    BY_CHANGE,
    FEW_TRIES,
    INFINITE,
    LATE_SECONDS,
    REQUEST_REFUSALS,
    THOROUGH_SECONDS,
    Listing,
    Placed,
    Server,
    Sync,
    SyncSettings,
    changed_at,
    newest_first,
    submitted_at,
)
from exporter.sync.intake import PATIENCE_SECONDS, RECENT_SECONDS, Doubted, Intake
from exporter.sync.reconcile import begin, fill
from exporter.sync.verify import interval_at_rest

SHORTEST_WINDOW_SECONDS = 3600.0
"""Ended jobs are shown at least so long, lest one still at the head be taken for new."""
CONFIRMING_SECONDS = 5.0
"""A claim that much of the list is gone is believed if it still stands after so long."""
CHEAP_PAGES = 20
"""A list of no more pages is rather scanned than its order proven first."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What one sync did."""

    strategy: str
    changes: int
    corrections: dict[str, int]


class Replica:
    """The ledger of one cluster and how it is kept equal to the remote list.

    ``refresh`` and ``background`` are conversations (see ``asking``); whoever holds the other end
    runs a refresh within one transaction, and each step of the background within one of its own.
    """

    def __init__(self, ledger: Ledger, settings: SyncSettings, rng: Random) -> None:
        self.ledger = ledger
        self.settings = settings
        self._rng = rng
        self._doubted = Doubted()
        self._server = Server(ledger.progress.profile)
        self._collapse_at: float | None = None
        self._mismatches = 0
        self._mismatch_at: float | None = None
        self._thorough_at = self._scan_at = 0.0
        self._moved_at: float | None = None
        self._odd_words: set[str] = set()
        self._refreshed = False
        self._marks: Marks | None = None

    @property
    def profile(self) -> Profile:
        """What is known of the server, also by syncs that failed."""
        return self._server.profile

    # -- one sync --------------------------------------------------------------------------------

    def refresh(self, now_at: float, allowance: Allowance) -> Asking[Refreshed]:
        """Bring the ledger up to date. ``now_at`` is the server's time as well as it is known."""
        sync = self._sync(now_at, allowance)
        if sync.order is None or sync.profile.order.value != sync.progress.profile.order.value:
            sync.update(newest_at=None, frontier_at=None)  # which were of another order
        if self._zone_has_changed(sync):
            if self.settings.zone_configured:
                profile = msgspec.structs.replace(self._server.profile, zone=Trait())
                self._server.profile = profile
            self._begin_anew(sync)
        try:
            refreshed = yield from self._refresh(sync)
        except Contradiction as contradiction:
            self._weaken(contradiction.trait, contradiction.evidence, sync.now_at)
            raise
        except CollapseUnconfirmed:
            self._collapse_at = sync.now_at if self._collapse_at is None else self._collapse_at
            raise
        self._collapse_at = None
        return refreshed

    def _refresh(self, sync: Sync) -> Asking[Refreshed]:
        last_look_at = sync.progress.last_success_at
        head = yield from self._read_head(sync)
        if (yield from _is_whole(sync, head)):
            strategy = _take_whole(sync, head)
        else:
            strategy = yield from self._longer_list(sync, head)
        learn_lag(sync)
        learn_zone(sync, last_look_at)
        sync.intake.correct("deleted", self.ledger.forget_suspects(sync.now_at))
        self._finish(sync)
        if sync.intake.corrections.keys() & {"changed", "missing"} and sync.order is BY_CHANGE:
            evidence = "a change did not bring its job to the head of the list"
            self._weaken("order", evidence, sync.now_at)
        return Refreshed(strategy, sync.intake.changes, dict(sync.intake.corrections))

    def _longer_list(self, sync: Sync, head: Placed) -> Asking[str]:
        if sync.profile.due("status_filter", sync.now_at):
            yield from calibrate_filter(sync, head)
        if sync.order is None and not by_scan.sweeps(sync) and self._order_is_worth_it(sync):
            yield from self._calibrate_order(sync)
        if not sync.filters and sync.progress.frontier_at is not None:
            sync.update(active_known=False, complete=False)  # some may stand behind it
        order = sync.order
        if order is not None and sync.progress.newest_at is None:
            begin(sync, order, head)
        if order is BY_CHANGE:
            fits = yield from by_change.follow(sync, head, checking=self._refreshed)
            self._judge(sync, fits=fits)
            return "delta"
        if order is not None and (sync.filters or sync.progress.frontier_at is None):
            fits = yield from by_submission.follow(sync, order, head, checking=self._refreshed)
            self._judge(sync, fits=fits)
            return "sweep"
        if by_scan.sweeps(sync):
            yield from by_scan.sweep_active(sync, head)
            return "sweep"
        yield from by_scan.scan(sync, self.ledger.marks(), Purpose.FRESH)
        return "scan"

    def _order_is_worth_it(self, sync: Sync) -> bool:
        """No filter helps, and a scan is dear: then the order is found first."""
        expected = sync.progress.expected or 0
        due = sync.totals_told and sync.profile.due("order", sync.now_at)
        return due and sync.pages_for(expected) > CHEAP_PAGES

    def _judge(self, sync: Sync, *, fits: bool) -> None:
        """Count the syncs whose total could not be explained."""
        if sync.reaches_edge and sync.fits():
            self._mismatch_at = None
        elif self._mismatch_at is None:
            self._mismatch_at = sync.now_at
        self._mismatches = 0 if fits else self._mismatches + 1
        if self._mismatches >= FEW_TRIES:
            self._mismatches = 0
            raise Contradiction("order", "the total stays unexplained")

    def full_look(self, now_at: float) -> Asking[Refreshed]:
        """Read the whole list once, whatever it costs, and whatever it teaches on the way."""
        for _ in range(FEW_TRIES):
            try:
                return (yield from self._full_look(now_at))
            except Contradiction as contradiction:
                self.ledger.restore_suspects()
                self._weaken(contradiction.trait, contradiction.evidence, now_at)
        return (yield from self._full_look(now_at))

    def _full_look(self, now_at: float) -> Asking[Refreshed]:
        sync = self._sync(now_at, lambda _: 0)
        head = yield from self._read_head(sync)
        if (yield from _is_whole(sync, head)):
            _take_whole(sync, head)
        else:
            yield from by_scan.scan(sync, self.ledger.marks(), Purpose.FRESH)
        sync.update(last_success_at=sync.now_at)
        return Refreshed("scan", sync.intake.changes, {})

    def background(self, now_at: float, allowance: Allowance) -> Asking[None] | None:
        """What is worth doing with calls that are left over; None if nothing is."""
        sync = self._sync(now_at, allowance)
        progress = sync.progress
        if not progress.active_known and (sync.filters or sync.order is None):
            return None  # first things first
        longer = progress.expected is not None and progress.expected > sync.page_size
        worth: Asking[None] | None = None
        if longer and sync.totals_told and sync.profile.due("order", now_at):
            if sync.may(Purpose.FRESH, ORDER_CALLS):
                worth = self._calibrate_order(sync)
        elif sync.order is not None and progress.newest_at is not None and not sync.reaches_edge:
            worth = fill(sync, sync.order)
        elif by_scan.worth_it(sync) and self._scan_is_due(sync):
            worth = self._scan(sync)
        return None if worth is None else self._guarded(sync, worth)

    def _scan_is_due(self, sync: Sync) -> bool:
        tried = 0 <= sync.now_at - self._scan_at < interval_at_rest(self.settings)
        return by_scan.due(sync) and not tried

    def _guarded(self, sync: Sync, asking: Asking[None]) -> Asking[None]:
        try:
            yield from asking
        except Contradiction as contradiction:
            self._weaken(contradiction.trait, contradiction.evidence, sync.now_at)
            raise
        sync.update(profile=sync.profile)

    def _calibrate_order(self, sync: Sync) -> Asking[None]:
        before = sync.order
        head = yield from calibrate_order(sync)
        if head is None and sync.profile.order.value == "unknown":
            self._weaken("order", "nothing proves an order yet", sync.now_at)
        elif head is not None and sync.order is not None and sync.order is not before:
            begin(sync, sync.order, head)

    def _scan(self, sync: Sync) -> Asking[None]:
        self._marks = self.ledger.marks()
        self._scan_at = sync.now_at
        try:
            yield from by_scan.scan(sync, self._marks, Purpose.HISTORY)
        finally:
            self._marks = None

    # -- around it -------------------------------------------------------------------------------

    def _sync(self, now_at: float, allowance: Allowance) -> Sync:
        progress = self.ledger.progress
        up_to_at = None
        if progress.newest_at is not None and progress.last_success_at is not None:
            up_to_at = int(min(progress.newest_at, progress.last_success_at)) - LATE_SECONDS
        lag_seconds = progress.profile.lag_seconds
        intake = Intake(
            ledger=self.ledger,
            began_at=progress.began_at if progress.began_at is not None else INFINITE,
            now_at=now_at,
            doubted=self._doubted,
            patience_seconds=max(
                lag_seconds, min(PATIENCE_SECONDS, self.settings.audit_interval_seconds / 4)
            ),
            settled=progress.complete,
            timed=self._server.profile.zone.value != UNKNOWN or self.settings.zone_configured,
            known_up_to_at=up_to_at,
            also_mark=self._marks,
        )
        self._open_window(intake)
        claimed_at, mismatch_at = self._collapse_at, self._mismatch_at
        return Sync(
            self.ledger,
            self._server,
            intake,
            self.settings,
            allowance,
            self._rng,
            now_at,
            collapse_confirmed=claimed_at is not None and now_at - claimed_at >= CONFIRMING_SECONDS,
            moved_at=now_at if self._moved_at is None else self._moved_at,
            odd_words=self._odd_words,
            thorough=not 0 <= now_at - self._thorough_at < THOROUGH_SECONDS,
            overdue=mismatch_at is not None and now_at - mismatch_at >= lag_seconds,
        )

    def _open_window(self, intake: Intake) -> None:
        kept_seconds = self.settings.history_seconds
        if kept_seconds != INFINITE:
            intake.window_from_at = intake.now_at - max(kept_seconds, SHORTEST_WINDOW_SECONDS)

    def _weaken(self, trait: TraitName, evidence: str, now_at: float) -> None:
        """What an answer has contradicted is found anew."""
        pause_seconds = self.settings.audit_interval_seconds
        server = self._server
        server.profile = server.profile.contradicted(trait, evidence, now_at, pause_seconds)
        if trait == "total_count" and server.profile.total_count.retry_at > now_at:
            server.profile = server.profile.found(trait, "none", evidence, now_at)

    def _read_head(self, sync: Sync) -> Asking[Placed]:
        """The first page of the whole list, in the best order that may be had."""
        profile = sync.profile
        if profile.total_count.value == "none" and 0 <= profile.total_count.retry_at <= sync.now_at:
            sync.found("total_count", "unknown", profile.total_count.evidence)
        order = sync.order
        if order is None and sync.profile.due("order", sync.now_at):
            order = BY_CHANGE
        try:
            head = yield from sync.ask(Listing(order))
        except (RefusedError, Contradiction) as error:
            refusal = error.__cause__ if isinstance(error, Contradiction) else error
            if not isinstance(refusal, RefusedError) or refusal.reason not in REQUEST_REFUSALS:
                raise
            if order is None or sync.order is not None:
                raise
            head = yield from sync.ask(Listing(None))
        self._tell_time(sync, head)
        zone_seconds = sync.profile.zone_seconds
        learn_zone_of(sync, head)
        if sync.profile.zone_seconds != zone_seconds and not sync.settings.zone_configured:
            self._begin_anew(sync)
            head = yield from sync.ask(head.listing)
            self._tell_time(sync, head)
        if sync.profile.depth.contradictions and sync.profile.due("depth", sync.now_at):
            yield from calibrate_depth(sync, head)
        return head

    def _zone_has_changed(self, sync: Sync) -> bool:
        """Whether the ledger's moments were read in another zone than those to come."""
        kept, name = sync.progress.profile, self.settings.zone_name
        if self.settings.zone_configured:
            other = not kept.zone.evidence.startswith(f"{name},")
            return kept.zone.value == "configured" and bool(name) and other
        by_name = kept.zone.value in ("configured", "contradicted")
        return by_name or kept.zone_seconds != sync.profile.zone_seconds

    def _begin_anew(self, sync: Sync) -> None:
        """Times were read in another zone than they are in: no moment that is known is right."""
        self.ledger.clear()
        self._server.profile = msgspec.structs.replace(self._server.profile, order=Trait())
        sync.update(
            began_at=None, newest_at=None, frontier_at=None, unread=0, complete=False,
            active_known=False, checked_at={},
        )  # fmt: skip

    def _tell_time(self, sync: Sync, head: Placed) -> None:
        sync.now_at = sync.intake.now_at = head.page.server_time_at or sync.now_at
        self._open_window(sync.intake)
        sync.intake.age()
        if sync.thorough:
            self._thorough_at = sync.now_at
        if sync.progress.began_at is None:
            tomorrow_at = sync.now_at + 86400  # what is later is no zone's time, but nonsense
            stamps = (at for job in head.jobs for at in (changed_at(job), submitted_at(job)))
            newest_at = max((at for at in stamps if at <= tomorrow_at), default=0)
            # What happened in the very second in which the ledger began, happened before.
            sync.intake.began_at = float(max(int(sync.now_at), newest_at) + 1)
            sync.update(began_at=sync.intake.began_at)

    def _finish(self, sync: Sync) -> None:
        sync.intake.age()
        for queue, user in self.ledger.groups.take_left_pairs():
            self.ledger.note_activity(queue, user, sync.now_at)
        self.ledger.forget_activity(sync.now_at - RECENT_SECONDS)
        if sync.intake.changes or self._moved_at is None:
            self._moved_at = sync.now_at
        sync.update(last_success_at=sync.now_at, profile=sync.profile)
        self._refreshed = True


def _is_whole(sync: Sync, head: Placed) -> Asking[bool]:
    """Whether the head is the whole list: as its total says, if the page is not full; or as nothing
    follows its last job."""
    size = len(head.jobs)
    if head.total is not None:
        if head.total != size:
            return False
        known = len(sync.ledger.known(head.uuids)) == size == sync.ledger.size
        if size < PAGE_LIMIT or known:
            return True
    elif size >= sync.page_size > 1 and sync.progress.complete and sync.ledger.size > size:
        return False
    if not size:
        return True
    more = yield from sync.ask(Listing(sync.order), size - 1)
    return more.uuids == head.uuids[-1:]  # a page that does not show it proves nothing


def _take_whole(sync: Sync, head: Placed) -> str:
    """The head is all there is: what is not on it is gone."""
    sync.take(head)
    sync.ledger.suspect_between(INFINITE, -INFINITE, keep=head.uuids)
    sync.update(complete=True, active_known=True, frontier_at=None, unread=0, newest_at=None)
    sorted_by_change = bool(head.jobs) and newest_first(head.jobs, changed_at)
    return "delta" if sorted_by_change else "scan"
