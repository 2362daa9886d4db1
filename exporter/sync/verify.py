"""Checking that the ledger equals the list, in few calls. ``reconcile`` corrects what differs.

The total comes with every page, and takes no call. What it cannot show, the checks (audits) do now and then,
in a few calls: whether the number of jobs in each status is right, and whether a page at a random rank has
the jobs that are known.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from exporter.errors import RefusedError, SyncError
from exporter.model import END_STATUSES, OTHER_STATUSES, OUT_OF_WINDOW, SET_ASIDE
from exporter.sync.asking import Asking, Contradiction
from exporter.sync.context import (
    BY_CHANGE,
    FEW_TRIES,
    INFINITE,
    SWEPT_STATUSES,
    ListView,
    Order,
    Sync,
    SyncSettings,
)
from exporter.sync.intake import LATE_SECONDS
from exporter.sync.pages import ask
from exporter.sync.reader import SeenInMemory, read_whole, recheck_filter, sweep
from exporter.sync.reconcile import (
    Stretch,
    examine,
    look_at,
    page_at,
    read_again,
    reconcile,
    search,
    whole,
)

BUSY_AUDIT_INTERVALS = 2
"""Audit intervals between two checks while the list moves: then a check may have to read the head again."""

ENDED, ACTIVE, OLDER, PROBE, STALE = "ended", "active", "older", "probe", "stale"


# -- the total -----------------------------------------------------------------------------------


def reread_head(sync: Sync, order: Order) -> Asking[bool]:
    """Read the head again. Returns whether it shows all that has changed since the sync began."""
    page = yield from ask(sync, ListView(order))
    still = sync.head is not None and sync.head.jobs == page.jobs
    sync.take_head(order, page)
    newest_at = sync.progress.newest_at
    if order is not BY_CHANGE or still:
        return True
    if not page.jobs or newest_at is None:
        return False
    return BY_CHANGE.moment(page.jobs[-1]) < newest_at - LATE_SECONDS


def verify_total(sync: Sync, order: Order) -> Asking[bool]:
    """Compare the total with the ledger, and correct the ledger if they differ. Returns whether they fit in the
    end, or may soon.

    A total that fits proves that the history is complete, and that suspects are gone.
    """
    if not sync.reaches_edge:
        sync.memory.mismatch_at = None
        return True  # the total cannot be compared yet
    if sync.progress.expected == sync.depth and sync.progress.frontier_at is None:
        read_again(sync, sync.progress.newest_at or 0)  # down to where it may end
        return True
    if sync.total_fits():
        return _accept_total(sync)
    since_at = sync.memory.mismatch_at = sync.memory.mismatch_at or sync.now_at
    if abs(sync.now_at - since_at) < sync.lag_seconds:
        sync.ledger.restore_suspects()
        return True  # this may be a late answer: wait for the lag
    yield from reread_head(sync, order)
    return _accept_total(sync) if sync.total_fits() else (yield from _mend(sync, order))


def _mend(sync: Sync, order: Order) -> Asking[bool]:
    surplus_before = _surplus(sync)
    if sync.progress.frontier_at is None:
        yield from reconcile(sync, order)
    else:
        yield from _reconcile_to_edge(sync, order)
    if sync.total_fits() and not sync.ledger.suspects:
        return _accept_total(sync)
    shows_all = yield from reread_head(sync, order)
    if sync.total_fits():
        return _accept_total(sync)
    surplus = _surplus(sync)
    if surplus > 0 and sync.ledger.suspects and shows_all:
        # These are gone, even if others are, too: the next sync searches on.
        sync.intake.correct("deleted", sync.ledger.forget_suspects(sync.now_at))
        return True
    sync.ledger.restore_suspects()
    return surplus > surplus_before > 0  # jobs are deleted faster than they are found


def _accept_total(sync: Sync) -> bool:
    sync.memory.mismatch_at = None
    sync.intake.correct("deleted", sync.ledger.forget_suspects(sync.now_at))
    proven = sync.progress.frontier_at is None or sync.progress.known == "all"
    sync.update(known="all" if proven else "history")
    return True


def _surplus(sync: Sync) -> int:
    return sync.ledger.size + (sync.progress.unread or 0) - (sync.progress.expected or 0)


def _reconcile_to_edge(sync: Sync, order: Order) -> Asking[None]:
    """Reconcile only in front of the edge of the history. If ledger and list have the same number of jobs
    there, the rest of the difference is behind the edge, and becomes ``unread``."""
    edge_at = sync.progress.frontier_at
    assert edge_at is not None  # noqa: S101 - else there is no edge
    page = yield from page_at(sync, order, edge_at - 1)
    found = [each for each in examine(sync, order, page) if each.at >= edge_at]
    if not found:
        return
    top = Stretch(whole(sync).newer, found[0])
    yield from search(sync, order, top)
    if not top.differs(sync, order):
        if sync.ledger.size > (sync.progress.expected or 0):
            # More are known behind the edge than there are.
            yield from reconcile(sync, order)
        sync.update(unread=(sync.progress.expected or 0) - sync.ledger.size)


# -- paid checks -----------------------------------------------------------------------------------


def checks_of(sync: Sync) -> tuple[str, ...]:
    """The names of the checks that this server allows; only for lists that are followed by an order."""
    if not sync.filters:
        return (ACTIVE, PROBE)
    others = (ACTIVE,) if sync.ledger.active_statuses() - set(SWEPT_STATUSES) else ()
    counted = sync.profile.total_count.value == "filtered" and sync.progress.complete
    unproven = (OLDER,) if counted and sync.progress.known != "all" else ()
    all_shown = sync.progress.frontier_at is None and not sync.ledger.count_status(OUT_OF_WINDOW)
    ended = (ENDED,) if counted and all_shown else ()
    return (*unproven, *SWEPT_STATUSES, PROBE, *ended, *others)


def due_checks(
    names: Sequence[str],
    checked_at: Mapping[str, float],
    now_at: float,
    settings: SyncSettings,
    *,
    moved_at: float,
) -> list[str]:
    """Which checks are due. Pure.

    While the list moves, one check at a time, in turn and rarely. Once it has rested for nearly half an audit
    interval, every check that is older than the last change, which was seen at ``moved_at``. So within one
    audit interval of the last change, everything is checked, and what a check finds is put right.
    """
    ages = {name: now_at - checked_at.get(name, 0.0) for name in names}
    # If a check seems to have run in the future, the clock was wrong then.
    ages = {name: age if age >= 0 else INFINITE for name, age in ages.items()}
    rest_seconds = settings.rest_interval_seconds
    rested_seconds = now_at - moved_at if moved_at <= now_at else rest_seconds
    oldest_first = sorted(names, key=lambda name: checked_at.get(name, 0.0))
    unproven = [name for name in oldest_first if ages[name] >= rested_seconds]
    if unproven and 0 < rested_seconds >= rest_seconds / 2:
        return unproven
    rare = min(ages.values()) >= BUSY_AUDIT_INTERVALS * settings.audit_interval_seconds
    return oldest_first[:1] if rare else []


def check_calls_per_second(settings: SyncSettings) -> float:
    """How many calls a second the checks take at most, while they find nothing. Pure."""
    calls = len((*SWEPT_STATUSES, *END_STATUSES, ACTIVE, PROBE))
    return calls / max(settings.rest_interval_seconds, settings.interval_seconds)


def run_due(sync: Sync, order: Order) -> Asking[None]:
    """Run the checks that are due, while the budget leaves calls for them."""
    due = due_checks(
        checks_of(sync),
        sync.progress.checked_at,
        sync.now_at,
        sync.settings,
        moved_at=sync.now_at if sync.moved else sync.memory.moved_at,
    )
    if sync.intake.stale_records.due(sync.now_at, sync.intake.patience_seconds):
        due.append(STALE)
    for name in due:
        if not sync.may_call() or not sync.past_lag:
            return
        try:
            yield from _run(sync, order, name)
            yield from _resolve_suspects(sync, order)
        except SyncError as error:
            if error.reason != "depth":
                raise
            sync.ledger.restore_suspects()  # the server does not show what is to be checked
        sync.note_checked(name, at=sync.now_at)


def _resolve_suspects(sync: Sync, order: Order) -> Asking[None]:
    if sync.ledger.suspects and sync.reaches_edge:
        # They may be elsewhere in the list, and others may be missing.
        yield from verify_total(sync, order)
    elif sync.ledger.suspects and not (yield from reread_head(sync, order)):
        sync.ledger.restore_suspects()  # they have perhaps moved to the head meanwhile


def _run(sync: Sync, order: Order, name: str) -> Asking[None]:
    if name == PROBE:
        yield from _probe(sync, order)
    elif name == ENDED:
        yield from _check_ended(sync, order)
    elif name == ACTIVE:
        yield from look_at(
            sync, order, sync.active_jobs(but=SWEPT_STATUSES if sync.filters else ())
        )
    elif name == OLDER:
        yield from _find_older(sync, order)
    elif name == STALE:
        due_jobs = sync.intake.stale_records.due(sync.now_at, sync.intake.patience_seconds)
        yield from look_at(sync, order, due_jobs)
        for job in due_jobs:  # they have been looked up, whatever was found
            sync.intake.stale_records.since.pop(job.uuid, None)
    else:
        yield from _check_status(sync, order, name)


def _miscounts(sync: Sync, order: Order, status: str, counted: int | None) -> Asking[bool]:
    """Whether a count is not the ledger's, even after reading the head again, which shows the newest changes."""
    if counted != sync.ledger.count_status(status):
        yield from reread_head(sync, order)
    return counted != sync.ledger.count_status(status)


def _check_status(sync: Sync, order: Order, status: str) -> Asking[None]:
    """Check a random page of a status and its count. If these differ, or there is no total, read the status."""
    for _ in range(FEW_TRIES if sync.profile.total_count.value == "filtered" else 0):
        counted = yield from _count_status(sync, order, status)
        if not (yield from _miscounts(sync, order, status, counted)):
            return
    before = dict(sync.intake.corrections)
    yield from sweep(sync, status)
    # Most jobs that were set aside have changed since the last sync.
    yield from reread_head(sync, order)
    if not (sync.past_lag and sync.reaches_edge):  # they may be where nothing has been read yet
        return
    aside = [job.uuid for job in sync.ledger.in_status(SET_ASIDE)]
    yield from resolve_set_aside(sync, order)
    found = sync.ledger.known(aside).values()
    up_to_at = sync.intake.known_up_to_at
    if sync.intake.corrections == before and sync.intake.was_complete and up_to_at is not None:
        unmoved = [job for job in found if job.status and BY_CHANGE.moment(job) < up_to_at]
        sync.intake.correct("changed", len(unmoved))


def _check_ended(sync: Sync, order: Order) -> Asking[None]:
    """Check the counts of all end statuses. If they differ although the total fits, one of these statuses has
    more jobs than are known: search for them among the jobs in it."""
    counts = map(sync.ledger.count_status, (*SWEPT_STATUSES, *END_STATUSES))
    # If all jobs are in these statuses, the total tells the count of the last one.
    all_fit = sum(counts) == sync.ledger.size
    for status in sorted(END_STATUSES):
        if all_fit and status == max(END_STATUSES):
            return
        told = yield from _told(sync, order, status)
        if (yield from _miscounts(sync, order, status, told)):
            all_fit = False
            if told is not None and told > sync.ledger.count_status(status):
                yield from search(sync, order, whole(sync, status))


def _told(sync: Sync, order: Order, status: str) -> Asking[int | None]:
    """How many jobs a status has by its total; None if the filter does not know it."""
    try:
        return (yield from ask(sync, ListView(order, status), limit=1)).total
    except Contradiction:
        return None


def _find_older(sync: Sync, order: Order) -> Asking[None]:
    """Look for active jobs behind the edge of the history, where no page is read, by the statuses that they may have;
    and find out, by the counts of all ended jobs, whether there are others."""
    for status in sorted(OTHER_STATUSES | sync.ledger.active_statuses() - set(SWEPT_STATUSES)):
        with suppress(Contradiction, RefusedError):  # the filter does not know it
            yield from read_whole(sync, ListView(order, status), SeenInMemory())
    for _ in range(FEW_TRIES):
        ended = 0
        for status in END_STATUSES:
            ended += (yield from _told(sync, order, status)) or 0
        yield from reread_head(sync, order)
        known_ended = sum(map(sync.ledger.count_status, (*END_STATUSES, OUT_OF_WINDOW)))
        if sync.ledger.size - known_ended + ended == sync.progress.expected:
            sync.update(known="all")
            return


def _count_status(sync: Sync, order: Order, status: str) -> Asking[int | None]:
    """How many jobs a status has by the total of a random page, taken in, too; None if by that it is too short."""
    offset = sync.rng.randrange(max(1, sync.ledger.count_status(status) - sync.page_size + 1))
    page = yield from ask(sync, ListView(order, status), offset)
    sync.take(page, audit=True)
    total = page.total or 0
    short = len(page.jobs) < min(sync.page_size, total - page.offset)
    return None if short else total


def resolve_set_aside(sync: Sync, order: Order) -> Asking[None]:
    """Look up the jobs that were set aside, but where no history is read yet: they are where they were, or gone."""
    read_from_at = -INFINITE if sync.reaches_edge else sync.progress.frontier_at or -INFINITE
    aside = sync.ledger.in_status(SET_ASIDE)
    yield from look_at(sync, order, (job for job in aside if order.moment(job) >= read_from_at))
    yield from recheck_filter(sync)


def _probe(sync: Sync, order: Order) -> Asking[None]:
    """Check a page at a random rank: its jobs, and how many are in front of it."""
    frontier_at = sync.progress.frontier_at
    down_to_at = -INFINITE if frontier_at is None else float(frontier_at)
    known = sync.ledger.count_between(INFINITE, down_to_at, by=order.column)
    offset = sync.rng.randrange(max(1, known - sync.page_size + 1))
    page = yield from ask(sync, ListView(order), offset)
    known_before = sync.ledger.known(page.uuids)
    found = examine(sync, order, page)
    if page.jobs and not found:  # all are of one second: look where that ends, too
        end = yield from page_at(sync, order, order.moment(page.jobs[0]) - 1)
        found = examine(sync, order, end)
    found = [each for each in found if each.at >= down_to_at]
    # If a queue or a user was renamed, many ended jobs may be under the old name.
    both = ((known_before[job.uuid], job) for job in page.jobs if job.uuid in known_before)
    renamed = any(new.ended and (old.queue, old.user) != (new.queue, new.user) for old, new in both)
    if found and Stretch(whole(sync).newer, found[0]).differs(sync, order):
        yield from reread_head(sync, order)
        yield from search(sync, order, Stretch(whole(sync).newer, found[0]))
        if frontier_at is None:
            yield from search(sync, order, Stretch(found[-1], whole(sync).older))
    if frontier_at is not None and sync.reaches_edge:
        # One job too many in front of the edge, and one too few counted as unread, would fit the total.
        yield from _reconcile_to_edge(sync, order)
    if renamed:
        read_again(sync, sync.progress.newest_at or 0)
