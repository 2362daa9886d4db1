"""Proving cheaply that the ledger equals the list; what does not fit goes to ``reconcile``.

The total comes with every page for nothing. What it cannot tell, a few paid calls do, now and then:
whether as many jobs are in each active status, and whether a page at a random rank is as known.
"""

from collections.abc import Mapping

from exporter.errors import BudgetExhausted
from exporter.model import END_STATUSES, OUT_OF_WINDOW
from exporter.sync.asking import Asking, Contradiction, Purpose
from exporter.sync.context import (
    BY_CHANGE,
    FEW_TRIES,
    INFINITE,
    LATE_SECONDS,
    MANY_TRIES,
    SWEPT_STATUSES,
    Listing,
    Order,
    Placed,
    Sync,
    SyncSettings,
    changed_at,
)
from exporter.sync.reader import MetInMemory, read_whole, sweep
from exporter.sync.reconcile import (
    Boundary,
    Stretch,
    boundaries,
    examine,
    look_at,
    most_search_calls,
    reconcile,
    search,
    whole,
    whole_second,
)

BUSY_AUDIT_INTERVALS = 1.5
"""While the list moves a check sometimes needs a second look at its head; rarer ones make up for
that."""
MOST_CHECKS = 7

COVER, PROBE, DOUBTED = "active", "probe", "doubted"


# -- the total -----------------------------------------------------------------------------------


def close_head(sync: Sync, order: Order) -> Asking[Placed]:
    """Look at the head once more: what has changed since the sync began stands there."""
    placed = yield from sync.ask(Listing(order))
    sync.still = sync.head is not None and sync.head.jobs == placed.jobs
    take_head(sync, order, placed)
    return placed


def take_head(sync: Sync, order: Order, placed: Placed) -> None:
    """Take in the head of the sorted list: it shows every job that is newer than its last one, so
    that others are perhaps gone."""
    sync.take(placed)
    sync.head = placed
    if placed.jobs:
        oldest_at = order.moment(placed.jobs[-1]) + 1
        sync.suspect_absent(order, INFINITE, oldest_at, placed)


def settle(sync: Sync, order: Order) -> Asking[bool]:
    """Hold the total against the ledger, and mend what does not fit; whether it fits in the end.

    A fitting total makes the history complete, and proves that suspects are gone.
    """
    if not sync.reaches_edge:
        return True  # there is nothing to hold it against yet
    if sync.fits():
        return _fits(sync)
    if sync.lag_seconds and not sync.overdue:
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
    head = yield from close_head(sync, order)
    if sync.fits():
        return _fits(sync)
    surplus = _surplus(sync)
    if surplus > 0 and sync.ledger.suspects and _shows_all_since(sync, order, head):
        # What is found gone is gone, though there is more: the next sync goes on.
        sync.intake.correct("deleted", sync.ledger.forget_suspects(sync.now_at))
        return True
    sync.ledger.restore_suspects()
    return surplus > surplus_before > 0  # jobs are deleted faster than they are searched


def _fits(sync: Sync) -> bool:
    sync.intake.correct("deleted", sync.ledger.forget_suspects(sync.now_at))
    sync.update(complete=True, active_known=True)
    return True


def _surplus(sync: Sync) -> int:
    return sync.ledger.size + sync.progress.unread - (sync.progress.expected or 0)


def _shows_all_since(sync: Sync, order: Order, head: Placed) -> bool:
    """Whether a head, read once more, shows everything that has changed since the first one."""
    newest_at = sync.progress.newest_at
    if order is not BY_CHANGE or sync.still:
        return True
    if not head.jobs or newest_at is None:
        return False
    return changed_at(head.jobs[-1]) < newest_at - LATE_SECONDS


def _reconcile_to_edge(sync: Sync, order: Order) -> Asking[None]:
    """Only a part of the history is kept: do as many jobs stand in front of its edge as are known?
    Then what the total tells of has happened behind it."""
    edge_at = sync.progress.frontier_at
    assert edge_at is not None  # noqa: S101 - else there is no edge
    known = sync.ledger.count_between(INFINITE, edge_at, by=order.column)
    found, back = list[Boundary](), max(1, sync.page_size // 2)
    while not found and back < 2 * known + sync.page_size:
        # The more have been deleted in front of it, the higher the edge stands.
        placed = yield from sync.ask(Listing(order), max(0, known - back))
        if placed.jobs and not boundaries(placed, order):
            moment = order.moment(placed.jobs[-1])
            placed = (yield from whole_second(sync, order, placed, moment, Purpose.FRESH)) or placed
        found = [each for each in examine(sync, order, placed) if each.at >= edge_at]
        back *= 2
    if not found:
        return
    top = Stretch(whole(sync).newer, found[0])
    if top.differs(sync, order):
        yield from search(sync, order, top, most_search_calls(sync, strewn=True))
    if not top.differs(sync, order):
        unread = (sync.progress.expected or 0) - sync.ledger.size
        sync.update(unread=unread)


# -- paid checks -----------------------------------------------------------------------------------


def checks_of(sync: Sync) -> tuple[str, ...]:
    """The names of the checks that make sense for a server that is followed by its order."""
    doubted = (DOUBTED,) if sync.intake.doubted.since else ()
    if not sync.filters:
        return (COVER, PROBE, *doubted)
    others = (COVER,) if sync.ledger.active_statuses() - set(SWEPT_STATUSES) else ()
    counted = sync.profile.total_count.value == "filtered" and sync.progress.complete
    ends = (
        sorted(END_STATUSES - sync.odd_words)
        if counted and sync.progress.frontier_at is None
        else ()
    )
    return (*SWEPT_STATUSES, PROBE, *ends, *others, *doubted)


def due_checks(
    names: tuple[str, ...],
    checked_at: Mapping[str, float],
    *,
    now_at: float,
    interval_seconds: float,
    busy_interval_seconds: float,
    quiet: bool,
    moved_at: float = INFINITE,
) -> list[str]:
    """Which checks are due. Pure.

    While the list moves, one each ``busy_interval_seconds``, in turn: a call is cheap only if it is
    rare. Once it rests, each that is older than ``interval_seconds`` and than the last change, at
    ``moved_at``: so that within one interval of it everything has been proven.
    """
    oldest_first = sorted(names, key=lambda name: checked_at.get(name, 0.0))
    # What seems to have run in the future ran by a clock that was wrong.
    due = [
        name
        for name in oldest_first
        if not 0 <= now_at - checked_at.get(name, 0.0) < interval_seconds
    ]
    unproven = [name for name in due if checked_at.get(name, 0.0) <= moved_at]
    if quiet and unproven:
        return unproven
    latest_at = max((checked_at.get(name, 0.0) for name in names), default=0.0)
    return due[:1] if not 0 <= now_at - latest_at < busy_interval_seconds else []


def interval_at_rest(settings: SyncSettings) -> float:
    """How old a check may become, in seconds, before it is due. A little less than was asked for:
    within one interval of the last change everything must have been proven."""
    return max(0.0, settings.audit_interval_seconds - 2 * settings.interval_seconds)


def check_calls_per_second(settings: SyncSettings) -> float:
    """What checks cost at most, while nothing is found. Pure."""
    often_seconds = max(interval_at_rest(settings), settings.interval_seconds)
    return MOST_CHECKS / often_seconds


def run_due(sync: Sync, order: Order) -> Asking[None]:
    """Run the checks that are due, as long as the budget leaves calls for them."""
    due = due_checks(
        checks_of(sync),
        sync.progress.checked_at,
        now_at=sync.now_at,
        interval_seconds=interval_at_rest(sync.settings),
        busy_interval_seconds=BUSY_AUDIT_INTERVALS * sync.settings.audit_interval_seconds,
        quiet=sync.intake.changes == 0,
        moved_at=sync.moved_at,
    )
    if DOUBTED not in due and sync.intake.doubted.ripe(sync.now_at, sync.intake.patience_seconds):
        due.append(DOUBTED)
    for name in due:
        if not sync.may(Purpose.AUDIT) or not sync.calm:
            return
        try:
            yield from _run(sync, order, name)
            if sync.ledger.suspects:
                yield from _confirm(sync, order)
        except BudgetExhausted:
            # What the sync has found out stands without it, if it has left nothing half done.
            sync.ledger.restore_suspects()
            if sync.ledger.count_status(""):
                raise
            return
        sync.update(checked_at={**sync.progress.checked_at, name: sync.now_at})


def _run(sync: Sync, order: Order, name: str) -> Asking[None]:
    if name == PROBE:
        yield from _probe(sync, order)
    elif name in END_STATUSES:
        yield from _check_end_status(sync, order, name)
    elif name == COVER:
        covered = SWEPT_STATUSES if sync.filters else ()
        moments = [
            order.moment(job) for job in sync.ledger.active_jobs(order.column)
            if job.status not in covered
        ]  # fmt: skip
        yield from look_at(sync, order, moments, Purpose.AUDIT)
    elif name == DOUBTED:
        ripe = sync.intake.doubted.ripe(sync.now_at, sync.intake.patience_seconds)
        moments = sorted((order.moment(job) for job in ripe), reverse=True)
        yield from look_at(sync, order, moments, Purpose.AUDIT)
        for job in ripe:  # those that have been seen newer since, or nowhere
            sync.intake.doubted.since.pop(job.uuid, None)
    else:
        yield from _check_status(sync, order, name)


def _confirm(sync: Sync, order: Order) -> Asking[None]:
    """Suspects of a check may only have moved: the head would show them now, or the total fit. Else
    they stand elsewhere: what differs is searched."""
    head = yield from close_head(sync, order)
    if not sync.ledger.suspects:
        return
    whole_known = sync.reaches_edge and sync.progress.frontier_at is None
    if whole_known and sync.calm and _surplus(sync) < 0:
        yield from reconcile(sync, order, purpose=Purpose.AUDIT)
    gone = not sync.lag_seconds and _shows_all_since(sync, order, head)
    if whole_known or sync.fits():
        surplus = _surplus(sync)
        gone = surplus == 0 or (surplus > 0 and gone)
    if gone:
        sync.intake.correct("deleted", sync.ledger.forget_suspects(sync.now_at))
        if sync.reaches_edge and not whole_known:
            sync.update(unread=(sync.progress.expected or 0) - sync.ledger.size)
    else:
        sync.ledger.restore_suspects()


def _check_status(sync: Sync, order: Order, status: str) -> Asking[None]:
    """A page of a status at random, and how many there are."""
    for _ in range(FEW_TRIES):
        counted = yield from _count_status(sync, order, status)
        if counted == sync.ledger.count_status(status):
            return
        yield from close_head(sync, order)  # or has it changed just now?
        if counted == sync.ledger.count_status(status):
            return
    before = dict(sync.intake.corrections)
    yield from sweep(sync, status, Purpose.AUDIT)
    yield from close_head(sync, order)  # most of those set aside have left it since the last look
    if not sync.calm:
        return
    aside = [job.uuid for job in sync.ledger.in_status("")]
    yield from resolve_aside(sync, order)
    found = sync.ledger.known(aside).values()
    up_to_at = sync.intake.known_up_to_at
    if sync.intake.corrections == before and sync.intake.settled and up_to_at is not None:
        unmoved = [job for job in found if job.status and changed_at(job) < up_to_at]
        sync.intake.correct("changed", len(unmoved))


def _check_end_status(sync: Sync, order: Order, status: str) -> Asking[None]:
    """Whether as many jobs have ended so. If not, although the total fits, one is missing and another
    too much: a probe between them shows it."""
    for _ in range(MANY_TRIES):
        if sync.ledger.count_status(OUT_OF_WINDOW):
            return
        try:
            placed = yield from sync.ask(Listing(order, status), 0, Purpose.AUDIT, limit=1)
        except Contradiction:
            break  # a word that the filter does not know
        if placed.total in (None, sync.ledger.count_status(status)):
            return
        changes = sync.intake.changes
        yield from close_head(sync, order)  # or has one ended just now?
        if sync.intake.changes == changes:
            yield from _probe(sync, order)
    sync.odd_words.add(status)


def _count_status(sync: Sync, order: Order, status: str) -> Asking[int | None]:
    """How many jobs are in a status, by the total, or else by where the last one stands; None if
    that cannot be told. Looks at a page of them at random."""
    listing, known = Listing(order, status), sync.ledger.count_status(status)
    offset = sync.rng.randrange(max(1, known - sync.page_size + 1))
    placed = yield from sync.ask(listing, offset, Purpose.AUDIT)
    sync.take(placed, audit=True)
    if placed.total is not None:
        short = len(placed.jobs) < min(sync.page_size, placed.total - placed.offset)
        return None if short else placed.total
    last = max(0, known - 1)
    if not (placed.offset <= last < placed.end and last > placed.offset):
        placed = yield from sync.ask(listing, last, Purpose.AUDIT)
        sync.take(placed, audit=True)
    if placed.jobs and placed.offset == last:
        return placed.end if len(placed.jobs) == 1 else None
    if not placed.jobs:
        return 0 if known == 0 else None
    return placed.end if len(placed.jobs) < sync.page_size else None


def find_aside(sync: Sync, order: Order) -> Asking[None]:
    """Once all is known, what became of jobs that left their status can be found."""
    if sync.progress.frontier_at is None and sync.ledger.count_status(""):
        yield from resolve_aside(sync, order)
        if sync.ledger.suspects:
            yield from _confirm(sync, order)


def resolve_aside(sync: Sync, order: Order, seen_down_to_at: float = INFINITE) -> Asking[None]:
    """Look where they stood: they stand there, or are gone."""
    aside = sync.ledger.in_status("")
    moments = sorted((order.moment(job) for job in aside), reverse=True)
    yield from look_at(sync, order, moments, Purpose.AUDIT, seen_down_to_at)
    yield from hold_filter(sync)


def look_at_head_again(sync: Sync, head: Placed) -> Asking[None]:
    """Some that stood on the head have left their status: do they stand there as they did?"""
    if sync.left.keys() & set(head.uuids):
        sync.take((yield from sync.ask(head.listing)))
        yield from hold_filter(sync)


def hold_filter(sync: Sync) -> Asking[None]:
    """Those that have left their status, and stand as they did: does it show them when it is asked
    again? Raises ``Contradiction``."""
    stand = [job for uuid, job in sync.ledger.known(sync.left).items() if job == sync.left[uuid]]
    if not stand or not sync.calm:
        return
    status, met = stand[0].status, MetInMemory()

    def on_page(placed: Placed) -> bool:
        sync.take(placed)
        return False

    yield from read_whole(sync, Listing(sync.order, status), met, on_page)
    if any(job.status == status and not met.has(job.uuid) for job in stand):
        raise Contradiction("status_filter", f"it hides a job that is {status}")


def _probe(sync: Sync, order: Order) -> Asking[None]:
    """A page at a random rank: is nothing missing or too much in front of it, and all as known?"""
    frontier_at = sync.progress.frontier_at
    down_to_at = -INFINITE if frontier_at is None else float(frontier_at)
    known = sync.ledger.count_between(INFINITE, down_to_at, by=order.column)
    offset = sync.rng.randrange(max(1, known - sync.page_size + 1))
    placed = yield from sync.ask(Listing(order), offset, Purpose.AUDIT)
    if placed.jobs and not boundaries(placed, order):
        moment = order.moment(placed.jobs[0])
        second = yield from whole_second(sync, order, placed, moment, Purpose.AUDIT)
        placed = second or placed
    found = [each for each in examine(sync, order, placed) if each.at >= down_to_at]
    if not found or not _differs_in_front(sync, order, found[0]):
        return
    yield from close_head(sync, order)  # or has the list moved just now?
    if not _differs_in_front(sync, order, found[0]):
        return
    most_calls = most_search_calls(sync, strewn=True)
    top, end = whole(sync).newer, Boundary(-INFINITE, 0)
    parts = [Stretch(top, found[0])]
    if sync.progress.frontier_at is None:
        parts.append(Stretch(found[-1], end))
    for part in parts:
        yield from search(sync, order, part, most_calls, purpose=Purpose.AUDIT)


def _differs_in_front(sync: Sync, order: Order, boundary: Boundary) -> bool:
    return Stretch(whole(sync).newer, boundary).differs(sync, order)
