"""Proving cheaply that the ledger equals the list; what does not fit goes to ``reconcile``.

The total comes with every page for nothing. What it cannot tell, a few paid calls do, now and then:
whether as many jobs are in each active status, and whether a page at a random rank is as known.
"""

from collections.abc import Callable, Mapping, Sequence

from exporter.errors import BudgetExhausted, SyncError
from exporter.model import END_STATUSES, OUT_OF_WINDOW
from exporter.sync.asking import Asking, Contradiction
from exporter.sync.context import (
    BY_CHANGE,
    FEW_TRIES,
    INFINITE,
    SWEPT_STATUSES,
    Listing,
    Order,
    Sync,
    SyncSettings,
)
from exporter.sync.intake import LATE_SECONDS
from exporter.sync.pages import ask
from exporter.sync.reader import hold_filter, sweep
from exporter.sync.reconcile import (
    Boundary,
    Stretch,
    examine,
    look_at,
    reconcile,
    search,
    whole,
)

BUSY_AUDIT_INTERVALS = 2
"""So rare is a check while the list moves, when it sometimes needs a second look at the head."""

ENDED, COVER, PROBE, DOUBTED = "ended", "active", "probe", "doubted"


# -- the total -----------------------------------------------------------------------------------


def close_head(sync: Sync, order: Order) -> Asking[bool]:
    """Look at the head once more: what has changed since the sync began stands there. Whether it shows
    all of that."""
    placed = yield from ask(sync, Listing(order))
    still = sync.head is not None and sync.head.jobs == placed.jobs
    sync.take_head(order, placed)
    newest_at = sync.progress.newest_at
    if order is not BY_CHANGE or still:
        return True
    if not placed.jobs or newest_at is None:
        return False
    return BY_CHANGE.moment(placed.jobs[-1]) < newest_at - LATE_SECONDS


def settle(sync: Sync, order: Order) -> Asking[bool]:
    """Hold the total against the ledger, and mend what does not fit; whether it fits in the end.

    A fitting total makes the history complete, and proves that suspects are gone.
    """
    if not sync.reaches_edge:
        sync.memory.mismatch_at = None
        return True  # there is nothing to hold it against yet
    if sync.fits():
        return _fits(sync)
    since_at = sync.memory.mismatch_at = sync.memory.mismatch_at or sync.now_at
    if sync.now_at - since_at < sync.lag_seconds:
        sync.ledger.restore_suspects()
        return True  # an answer from the past, perhaps: it shows in time
    yield from close_head(sync, order)
    return _fits(sync) if sync.fits() else (yield from _mend(sync, order))


def _mend(sync: Sync, order: Order) -> Asking[bool]:
    surplus_before = _surplus(sync)
    if sync.progress.frontier_at is None:
        yield from reconcile(sync, order)
    else:
        yield from _reconcile_to_edge(sync, order)
    if sync.fits() and not sync.ledger.suspects:
        return _fits(sync)
    shows_all = yield from close_head(sync, order)
    if sync.fits():
        return _fits(sync)
    surplus = _surplus(sync)
    if surplus > 0 and sync.ledger.suspects and shows_all:
        # What is found gone is gone, though there is more: the next sync goes on.
        sync.intake.correct("deleted", sync.ledger.forget_suspects(sync.now_at))
        return True
    sync.ledger.restore_suspects()
    return surplus > surplus_before > 0  # jobs are deleted faster than they are searched


def _fits(sync: Sync) -> bool:
    sync.memory.mismatch_at = None
    sync.intake.correct("deleted", sync.ledger.forget_suspects(sync.now_at))
    sync.update(known="all")
    return True


def _surplus(sync: Sync) -> int:
    return sync.ledger.size + (sync.progress.unread or 0) - (sync.progress.expected or 0)


def _reconcile_to_edge(sync: Sync, order: Order) -> Asking[None]:
    """Only a part of the history is kept: do as many jobs stand in front of its edge as are known?
    Then what the total tells of has happened behind it."""
    edge_at = sync.progress.frontier_at
    assert edge_at is not None  # noqa: S101 - else there is no edge
    known = sync.ledger.count_between(INFINITE, edge_at, by=order.column)
    found, back = list[Boundary](), max(1, sync.page_size // 2)
    while not found and back < 2 * known + sync.page_size:
        # The more have been deleted in front of it, the higher the edge stands.
        placed = yield from ask(sync, Listing(order), max(0, known - back))
        found = [each for each in examine(sync, order, placed) if each.at >= edge_at]
        back *= 2
    if not found:
        return
    top = Stretch(whole(sync).newer, found[0])
    yield from search(sync, order, top)
    if not top.differs(sync, order):
        sync.update(unread=(sync.progress.expected or 0) - sync.ledger.size)


# -- paid checks -----------------------------------------------------------------------------------


def checks_of(sync: Sync) -> tuple[str, ...]:
    """The names of the checks that make sense for a server that is followed by its order."""
    if not sync.filters:
        return (COVER, PROBE)
    others = (COVER,) if sync.ledger.active_statuses() - set(SWEPT_STATUSES) else ()
    counted = sync.profile.total_count.value == "filtered" and sync.progress.complete
    all_shown = sync.progress.frontier_at is None and not sync.ledger.count_status(OUT_OF_WINDOW)
    ended = (ENDED,) if counted and all_shown else ()
    return (*SWEPT_STATUSES, PROBE, *ended, *others)


def due_checks(
    names: Sequence[str],
    checked_at: Mapping[str, float],
    now_at: float,
    settings: SyncSettings,
    *,
    moved_at: float,
) -> list[str]:
    """Which checks are due. Pure.

    While the list moves, one at a time, in turn: a call is cheap only if it is rare. Once it has rested
    for most of an audit interval, each that is older than the last change, seen at ``moved_at``: so that
    within one interval of it everything has been proven.
    """
    ages = {name: now_at - checked_at.get(name, 0.0) for name in names}
    # What seems to have run in the future ran by a clock that was wrong.
    ages = {name: age if age >= 0 else INFINITE for name, age in ages.items()}
    # What is seen has happened up to an interval before.
    rest_seconds = settings.rest_interval_seconds - settings.interval_seconds
    rested_seconds = now_at - moved_at if moved_at <= now_at else rest_seconds
    oldest_first = sorted(names, key=lambda name: checked_at.get(name, 0.0))
    unproven = [name for name in oldest_first if ages[name] >= rested_seconds]
    if unproven and 0 < rested_seconds >= rest_seconds:
        return unproven
    rare = min(ages.values()) >= BUSY_AUDIT_INTERVALS * settings.audit_interval_seconds
    return oldest_first[:1] if rare else []


def check_calls_per_second(settings: SyncSettings) -> float:
    """What checks cost at most, while nothing is found. Pure."""
    calls = len((*SWEPT_STATUSES, *END_STATUSES, COVER, PROBE))
    return calls / max(settings.rest_interval_seconds, settings.interval_seconds)


def run_due(sync: Sync, order: Order) -> Asking[None]:
    """Run the checks that are due, as long as the budget leaves calls for them."""
    due = due_checks(
        checks_of(sync),
        sync.progress.checked_at,
        sync.now_at,
        sync.settings,
        moved_at=sync.now_at if sync.moved else sync.memory.moved_at,
    )
    if sync.intake.doubted.ripe(sync.now_at, sync.intake.patience_seconds):
        due.append(DOUBTED)
    for name in due:
        if not sync.may() or not sync.calm:
            return
        try:
            yield from _run(sync, order, name)
            yield from _resolve_suspects(sync, order)
        except BudgetExhausted:
            # What the sync has found out stands without it, if it has left nothing half done.
            sync.ledger.restore_suspects()
            if sync.ledger.count_status(""):
                raise
            return
        except SyncError as error:
            if error.reason != "depth":
                raise
            sync.ledger.restore_suspects()  # what the server does not show cannot be checked
        sync.update(checked_at={**sync.progress.checked_at, name: sync.now_at})


def _resolve_suspects(sync: Sync, order: Order) -> Asking[None]:
    if sync.ledger.suspects and sync.reaches_edge:
        yield from settle(sync, order)  # they may stand elsewhere, and others be missing
    elif sync.ledger.suspects and not (yield from close_head(sync, order)):
        sync.ledger.restore_suspects()  # they have perhaps moved to the head meanwhile


def _run(sync: Sync, order: Order, name: str) -> Asking[None]:
    if name == PROBE:
        yield from _probe(sync, order)
    elif name == ENDED:
        yield from _check_ended(sync, order)
    elif name == COVER:
        yield from look_at(
            sync, order, sync.active_jobs(but=SWEPT_STATUSES if sync.filters else ())
        )
    elif name == DOUBTED:
        ripe = sync.intake.doubted.ripe(sync.now_at, sync.intake.patience_seconds)
        yield from look_at(sync, order, ripe)
        for job in ripe:  # those that have been seen newer since, or nowhere
            sync.intake.doubted.since.pop(job.uuid, None)
    else:
        yield from _check_status(sync, order, name)


def _stands(sync: Sync, order: Order, differs: Callable[[], bool]) -> Asking[bool]:
    """Whether there is a difference still, once what has changed just now is known."""
    if differs():
        yield from close_head(sync, order)
    return differs()


def _miscounts(sync: Sync, order: Order, status: str, counted: int | None) -> Asking[bool]:
    return _stands(sync, order, lambda: counted != sync.ledger.count_status(status))


def _check_status(sync: Sync, order: Order, status: str) -> Asking[None]:
    """A page of a status at random, and how many there are; all of them where no total tells that."""
    for _ in range(FEW_TRIES if sync.profile.total_count.value == "filtered" else 0):
        counted = yield from _count_status(sync, order, status)
        if not (yield from _miscounts(sync, order, status, counted)):
            return
    before = dict(sync.intake.corrections)
    yield from sweep(sync, status)
    yield from close_head(sync, order)  # most of those set aside have left it since the last look
    if not (sync.calm and sync.reaches_edge):  # they may stand where nobody has read yet
        return
    aside = [job.uuid for job in sync.ledger.in_status("")]
    yield from resolve_aside(sync, order)
    found = sync.ledger.known(aside).values()
    up_to_at = sync.intake.known_up_to_at
    if sync.intake.corrections == before and sync.intake.settled and up_to_at is not None:
        unmoved = [job for job in found if job.status and BY_CHANGE.moment(job) < up_to_at]
        sync.intake.correct("changed", len(unmoved))


def _check_ended(sync: Sync, order: Order) -> Asking[None]:
    """Whether as many jobs have ended in each way. If not, although the total fits, more have ended in
    one of them than are known to: what stands where they are too few is looked at."""
    counts = map(sync.ledger.count_status, (*SWEPT_STATUSES, *END_STATUSES))
    all_fit = (
        sum(counts) == sync.ledger.size
    )  # then the total tells how many jobs are in the last one
    for status in sorted(END_STATUSES):
        if all_fit and status == max(END_STATUSES):
            return
        try:
            told = (yield from ask(sync, Listing(order, status), limit=1)).total
        except Contradiction:
            told = None  # a word that the filter does not know
        if (yield from _miscounts(sync, order, status, told)):
            all_fit = False
            if told is not None and told > sync.ledger.count_status(status):
                yield from search(sync, order, whole(sync, status))


def _count_status(sync: Sync, order: Order, status: str) -> Asking[int | None]:
    """How many jobs are in a status, by the total of a page of them at random, which is looked at,
    too; None if that page is too short for it."""
    offset = sync.rng.randrange(max(1, sync.ledger.count_status(status) - sync.page_size + 1))
    placed = yield from ask(sync, Listing(order, status), offset)
    sync.take(placed, audit=True)
    total = placed.total or 0
    short = len(placed.jobs) < min(sync.page_size, total - placed.offset)
    return None if short else total


def resolve_aside(sync: Sync, order: Order) -> Asking[None]:
    """What became of jobs that have left their status: they stand where they stood, or are gone."""
    yield from look_at(sync, order, sync.ledger.in_status(""))
    yield from hold_filter(sync)


def _probe(sync: Sync, order: Order) -> Asking[None]:
    """A page at a random rank: is nothing missing or too much in front of it, and all as known?"""
    frontier_at = sync.progress.frontier_at
    down_to_at = -INFINITE if frontier_at is None else float(frontier_at)
    known = sync.ledger.count_between(INFINITE, down_to_at, by=order.column)
    offset = sync.rng.randrange(max(1, known - sync.page_size + 1))
    placed = yield from ask(sync, Listing(order), offset)
    found = [each for each in examine(sync, order, placed) if each.at >= down_to_at]

    def differs() -> bool:
        return bool(found) and Stretch(whole(sync).newer, found[0]).differs(sync, order)

    if (yield from _stands(sync, order, differs)):
        yield from search(sync, order, Stretch(whole(sync).newer, found[0]))
        if frontier_at is None:
            yield from search(sync, order, Stretch(found[-1], whole(sync).older))
    if frontier_at is not None and sync.reaches_edge:
        # One job too much in front of the edge, and one too few taken for unread, and the total fits.
        yield from _reconcile_to_edge(sync, order)
