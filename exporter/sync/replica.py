"""One sync of one cluster: chooses the way that the profile allows, and remembers what it has found."""

from dataclasses import dataclass
from random import Random

from exporter.errors import ApiError, RefusedError, SyncError, TransportError
from exporter.ledger.store import Ledger, Marks
from exporter.model import SET_ASIDE, Purpose
from exporter.profile import UNKNOWN, Profile
from exporter.snapshot import RECENT_SECONDS, SyncFailure
from exporter.sync import by_order, by_scan, calibration, reader, reconcile, verify, zone
from exporter.sync.asking import Allowance, Asking, CollapseUnconfirmed, Contradiction, T
from exporter.sync.context import (
    BY_CHANGE,
    FEW_TRIES,
    INFINITE,
    ORDERS,
    SWEPT_STATUSES,
    THOROUGH,
    Memory,
    Order,
    PlacedPage,
    Sync,
    SyncSettings,
    collapsed,
)
from exporter.sync.head import is_whole, read_head, take_whole
from exporter.sync.intake import LATE_SECONDS, PATIENCE_SECONDS, Intake
from exporter.sync.pages import is_refusal


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What one sync did."""

    strategy: str
    changes: int
    corrections: dict[str, int]
    changed_from_at: float | None = None
    """When the oldest change that it found happened, by the server's clock; None if it found none."""


class Replica:
    """Keeps the ledger of one cluster equal to the remote list.

    ``refresh`` and ``background`` are conversations (see ``asking``); whoever holds the other end
    runs a refresh within one transaction, and each step of the background within one of its own.
    """

    def __init__(self, ledger: Ledger, settings: SyncSettings, rng: Random) -> None:
        self.ledger = ledger
        self.settings = settings
        self._rng = rng
        self._memory = Memory(ledger.progress.profile)
        self._tried_at = 0.0
        self._marks: Marks | None = None

    @property
    def profile(self) -> Profile:
        """The profile of the server, including what failed syncs have found."""
        return self._memory.profile

    @property
    def obstacle(self) -> SyncFailure | None:
        """Why the history cannot be read on, or to its end; None if nothing is known to prevent it."""
        return None if self.ledger.progress.complete else self._memory.obstacle

    @property
    def history_calls(self) -> int:
        """About how many calls it takes to read what is left of the history; 0 if it is complete."""
        progress, known = self.ledger.progress, self.ledger.size
        if progress.complete:
            return 0
        sync = self._sync(progress.last_success_at or 0.0, lambda _: 0)
        left = (progress.expected or 0) - known
        if sync.has_edge and progress.frontier_at is not None:
            # As many jobs in a second down to the edge as in front of the frontier.
            read_seconds = max(1, (progress.newest_at or 0) - progress.frontier_at)
            further = (progress.frontier_at - sync.intake.window_from_at) / read_seconds
            left = int(min(left, known * further))
        return sync.pages_for(left)

    @property
    def all_resolved(self) -> bool:
        """Whether the last sync has left nothing that the next one has to look up."""
        memory, aside = self._memory, self.ledger.count_status(SET_ASIDE)
        waiting = (memory.stale_records.since, self.ledger.suspects, aside)
        return memory.refreshed and not any(waiting) and memory.collapse_at is None

    # -- what the counters of cluster/list say -----------------------------------------------------

    def note_counters(self, evidence: str, now_at: float, *, follow: bool) -> bool:
        """Note whether the counters follow the list. Returns False if that is known, or too early to try again."""
        profile = self.profile
        known = profile.counters.value == "follow"
        if (known and follow) or not (known or profile.due("counters", now_at)):
            return False
        sync = self._sync(now_at, lambda _: 0)
        if follow:
            sync.found("counters", "follow", evidence)
        else:
            sync.contradict("counters", evidence)
        return True

    def counted_right(self, later_seconds: float) -> None:
        """Note that so long after the last sync, the counters confirmed all statuses: their checks count as done."""
        progress = self.ledger.progress
        if progress.last_success_at is None or progress.frontier_at is not None:
            return
        at = progress.last_success_at + later_seconds
        self._sync(at, lambda _: 0).note_checked(*SWEPT_STATUSES, verify.ENDED, at=at)

    def widen_history(self) -> None:
        """If more of the history is wanted than at the last sync, it is not complete any longer."""
        last_success_at = self.ledger.progress.last_success_at
        if last_success_at is not None:
            reconcile.widen_history(self._sync(last_success_at, lambda _: 0))

    # -- one sync --------------------------------------------------------------------------------

    def refresh(self, now_at: float, allowance: Allowance) -> Asking[Refreshed]:
        """Bring the ledger up to date. ``now_at`` is the server's time as well as it is known."""
        sync = self._sync(now_at, allowance)
        if sync.order is None or sync.profile.order.value != sync.progress.profile.order.value:
            sync.update(newest_at=None, frontier_at=None)  # these were by another order
        zone.follow_configuration(sync)
        stale_records = sync.intake.stale_records
        if stale_records.show_that_list_went_back(now_at, sync.intake.patience_seconds):
            stale_records.since.clear()
            sync.begin_anew()
        return (yield from self._synced(sync, self._refresh(sync)))

    def _refresh(self, sync: Sync) -> Asking[Refreshed]:
        head = yield from read_head(sync)
        if not self._memory.refreshed:
            reconcile.widen_history(sync)
        if (yield from is_whole(sync, head)):
            strategy = take_whole(sync, head)
        else:
            strategy = yield from self._longer_list(sync, head)
        calibration.learn_lag(sync)
        zone.learn_from_changes(sync)
        zone.follow(sync)
        sync.intake.correct("deleted", self.ledger.forget_suspects(sync.now_at))
        self._finish(sync)
        self._memory.collapse_at = None
        return Refreshed(
            strategy,
            sync.intake.changes,
            dict(sync.intake.corrections),
            _changed_from_at(sync),
        )

    def _longer_list(self, sync: Sync, head: PlacedPage) -> Asking[str]:
        if sync.profile.due("status_filter", sync.now_at):
            yield from calibration.calibrate_filter(sync, head)
        deep = sync.length >= sync.profile.most_offset  # only when sorted, it shows its other end
        needed = deep or (not sync.filters and calibration.order_pays(sync))
        if needed and sync.profile.due("order", sync.now_at):
            yield from self._calibrate_order(sync)
            head = sync.head or head  # the head in the order that was found
        if not sync.filters and sync.progress.frontier_at is not None:
            sync.update(known="")  # there may be active jobs behind it
        order = sync.order
        if order is not None and sync.progress.newest_at is None:
            reconcile.start_frontier(sync, order, head)
        if order is BY_CHANGE:
            yield from by_order.by_change(sync, head)
            yield from self._prove(sync, order)
            return "delta"
        if order is not None and (sync.filters or sync.progress.frontier_at is None):
            yield from by_order.by_submission(sync, order, head)
            yield from self._prove(sync, order)
            return "sweep"
        if by_scan.sweeps(sync):
            sync.take(head)
            yield from reader.sweep_active(sync, head)
            fewer, more = sorted((self.ledger.size, sync.length or self.ledger.size))
            doubted = self._memory.obstacle is not None or collapsed(more, fewer)
            if doubted and not sync.total_fits():
                sync.update(known="active")  # it is longer than the server shows, or not as it was
            return "sweep"
        yield from by_scan.scan(sync, self.ledger.marks())
        return "scan"

    def _prove(self, sync: Sync, order: Order) -> Asking[None]:
        """Check after a sync by an order that no job is missing or too many."""
        sync.purpose = Purpose.AUDIT
        aside = self.ledger.count_status(SET_ASIDE)
        try:
            if aside and sync.thorough and (sync.reaches_edge or order is not BY_CHANGE):
                # Not at every sync: several jobs together may be on the same pages.
                yield from verify.resolve_set_aside(sync, order)
            fits = yield from verify.verify_total(sync, order)
            away = bool(sync.intake.corrections)  # what a total has shown may only have been away
            if fits and self._memory.refreshed and sync.progress.active_known:
                yield from verify.run_due(sync, order)
        except ApiError as error:  # the sync stands without, unless an audit has set jobs aside
            self.ledger.restore_suspects()
            if is_refusal(error) or (order is BY_CHANGE and self.ledger.count_status(SET_ASIDE)):
                raise
            return
        missed = sync.intake.corrections.keys() & {"changed", "missing"}
        if missed and not away and order is BY_CHANGE and not sync.intake.stale_seconds:
            sync.contradict("order", "a change did not bring its job to the head of the list")
        self._memory.unexplained = 0 if fits else self._memory.unexplained + 1
        if self._memory.unexplained >= FEW_TRIES:
            self._memory.unexplained = 0
            raise Contradiction("order", "the total stays unexplained")

    def background(self, now_at: float, allowance: Allowance) -> Asking[None] | None:
        """The work that is worth the calls that are left over; None if there is none."""
        sync = self._sync(now_at, allowance)
        sync.purpose = Purpose.HISTORY
        progress = sync.progress
        if not progress.active_known and (sync.filters or sync.order is None):
            return None  # the active jobs come first
        longer = sync.length > sync.page_size
        worth: Asking[None] | None = None
        if longer and sync.profile.due("order", now_at):
            if sync.allowance(Purpose.FRESH) >= calibration.ORDER_CALLS:
                worth = self._meeting_obstacles(sync, self._calibrate_order(sync))
        elif not sync.may_call():
            return None  # when there is a call for it, it has to begin with fresh data
        elif sync.order is not None and progress.newest_at is not None and not sync.reaches_edge:
            pause_seconds = self.settings.rest_interval_seconds
            if self._memory.obstacle is not None and sync.just_now(self._tried_at, pause_seconds):
                return None
            worth = self._meeting_obstacles(sync, reconcile.read_history(sync, sync.order))
        elif by_scan.worth_it(sync) and by_scan.due(sync, self._tried_at):
            worth = self._meeting_obstacles(sync, self._scan(sync))
        return None if worth is None else self._remembering(sync, worth)

    def _synced(self, sync: Sync, asking: Asking[Refreshed]) -> Asking[Refreshed]:
        """Run a sync, and note by this machine's clock when that was."""
        synced_at = sync.now_at
        refreshed = yield from self._remembering(sync, asking)
        sync.update(synced_at=synced_at)
        return refreshed

    def _remembering(self, sync: Sync, asking: Asking[T]) -> Asking[T]:
        """Run a conversation, and remember how it ended, even if it fails."""
        try:
            result = yield from asking
        except Contradiction as contradiction:
            sync.contradict(contradiction.trait, contradiction.evidence)
            raise
        except CollapseUnconfirmed:
            self._memory.collapse_at = self._memory.collapse_at or sync.now_at
            raise
        except RefusedError as error:
            self._memory.refused += error.reason == "internal"
            raise
        self._memory.refused = 0
        sync.update(profile=sync.profile)
        return result

    def _calibrate_order(self, sync: Sync) -> Asking[None]:
        before, sync.purpose = sync.order, Purpose.FRESH
        head = yield from calibration.calibrate_order(sync)
        found = sync.profile.order
        if head is None and found.value == UNKNOWN:
            sync.contradict("order", "nothing proves an order yet")
        elif head is None:  # a better one is tried again, but later
            sync.found("order", found.value, found.evidence)
        elif sync.order is not None and sync.order is not before:
            reconcile.start_frontier(sync, sync.order, head)
            sync.head = head

    def _scan(self, sync: Sync) -> Asking[None]:
        self._marks = self.ledger.marks()
        self._tried_at = sync.now_at
        try:
            yield from by_scan.scan(sync, self._marks)
        except Contradiction:
            self._tried_at = 0.0  # so that it soon shows whether the trait, found anew, fits now
            raise
        finally:
            self._marks = None

    def _meeting_obstacles(self, sync: Sync, history: Asking[None]) -> Asking[None]:
        """Continue reading the history, and remember what prevents it."""
        begun_at = sync.progress.frontier_at
        try:
            yield from history
        except (ApiError, SyncError) as error:
            stuck = error.reason == "moving" and sync.progress.frontier_at == begun_at is not None
            lasting = error.reason == "depth" or isinstance(error, ApiError)
            if lasting or (stuck and self._memory.obstacle is not None):  # as at the last try
                self._tried_at = sync.now_at
            if isinstance(error, TransportError) and sync.profile.due("order", sync.now_at):
                sync.contradict("order", "nothing proves an order yet")  # tried again, but later
            if (stuck or lasting) and self._memory.obstacle is None:
                why = SyncFailure(error.reason, str(error), error.advice, sync.now_at)
                sync.memory.obstacle = why
            raise
        if sync.reaches_edge or sync.progress.complete:
            sync.memory.obstacle = None

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
            stale_records=self._memory.stale_records,
            patience_seconds=max(
                lag_seconds, min(PATIENCE_SECONDS, self.settings.audit_interval_seconds / 4)
            ),
            was_complete=progress.complete,
            last_look_at=progress.last_success_at or 0.0,
            timed=self._memory.profile.zone.value != UNKNOWN or self.settings.zone_configured,
            known_up_to_at=up_to_at,
            by_change=ORDERS.get(self._memory.profile.order.value) is BY_CHANGE,
            also_mark=self._marks,
        )
        return Sync(self.ledger, self._memory, intake, self.settings, allowance, self._rng, now_at)

    def _finish(self, sync: Sync) -> None:
        sync.intake.hide_out_of_window()
        for queue, user in self.ledger.groups.take_idle_pairs():
            self.ledger.note_activity(queue, user, sync.now_at)
        self.ledger.forget_activity(sync.now_at - RECENT_SECONDS)
        if sync.moved or not self._memory.refreshed:
            self._memory.moved_at = sync.now_at
        if sync.thorough:
            sync.note_checked(THOROUGH, at=sync.now_at)
        sync.update(last_success_at=sync.now_at)


def _changed_from_at(sync: Sync) -> float | None:
    """When the oldest change happened that a sync has found, of those since the last sync."""
    intake = sync.intake
    if intake.changed_from_at < INFINITE:
        return intake.changed_from_at
    # Changes without a new time of change count, unless the history is being read.
    changed = intake.was_complete and (intake.changes or intake.corrections)
    return sync.now_at if changed else None
