"""Finding the profile of a server in few calls: at first contact, and again when an answer has contradicted a
trait.

Three traits need queries of their own: the status filter (once a list is longer than its head), the order
(between two syncs, once the active jobs are known), and the depth (when a page was missing). The others show
by themselves: the page size and what totals count on any page, the lag when something changes, and the zone
as ``zone`` says.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from exporter.errors import RefusedError
from exporter.model import Job, hidden
from exporter.profile import KNOWN_DEPTHS, LONGEST_PAUSE_SECONDS, NONE, UNKNOWN, Trait, TraitName
from exporter.sync.asking import Asking, Contradiction, T
from exporter.sync.context import (
    BY_CHANGE,
    BY_DEFAULT,
    BY_SUBMISSION,
    FEW_TRIES,
    ORDERS,
    SWEPT_STATUSES,
    ListView,
    Order,
    PlacedPage,
    Sync,
    is_limit,
)
from exporter.sync.intake import LAGS
from exporter.sync.pages import ask, is_refusal, send

ORDER_CALLS = 4
"""How many calls the proof of an order takes. With fewer it does not begin: it would take the next sync's."""
ORDERS_TO_TRY = ((BY_CHANGE, "change"), (BY_SUBMISSION, "submission"), (BY_DEFAULT, "default"))
"""The orders to try, best first, with their names in the profile."""


# -- the status filter ---------------------------------------------------------------------------


def calibrate_filter(sync: Sync, head: PlacedPage) -> Asking[None]:
    """Find the name of the status filter: both are sent, or, if the server refuses that, each alone."""
    trait = sync.profile.status_filter
    if trait.value == UNKNOWN and trait.contradictions > 1:
        # It seemed to work, and was contradicted each time.
        sync.found("status_filter", NONE, trait.evidence)
        return
    jobs = head.jobs
    if len({job.status for job in jobs}) == 1:  # also a server that cuts first would show these
        middle = int(min(head.total or 2 * head.end, sync.profile.most_offset)) // 2
        jobs = (*jobs, *(yield from ask(sync, head.view, middle)).jobs)
    for name in ("both", "jobs_status", "job_status"):
        try:
            evidence = yield from _trying(sync, "status_filter", name, _filters(sync, head, jobs))
        except (RefusedError, Contradiction) as error:
            if is_refusal(error):
                continue
            if isinstance(error, RefusedError):
                raise
            sync.found("status_filter", NONE, str(error))
            return
        sync.found("status_filter", name, evidence)
        return
    yield from ask(sync, head.view)  # if this is refused, too, the server is in trouble
    sync.found("status_filter", "none", "a request with a status is refused under either name")


def _trying(sync: Sync, trait: TraitName, value: str, asking: Asking[T]) -> Asking[T]:
    """Run a conversation in which a trait has this value."""
    before = sync.profile
    sync.found(trait, value, "being tried")
    try:
        return (yield from asking)
    finally:
        known: Trait = getattr(before, trait)
        sync.memory.profile = msgspec.structs.replace(sync.profile, **{trait: known})


def _filters(sync: Sync, head: PlacedPage, jobs: Sequence[Job]) -> Asking[str]:
    """Try the filter with the statuses of these jobs: the evidence that it works, or else ``Contradiction``."""
    first = jobs[0].status if jobs else ""
    others = [job.status for job in jobs if job.status != first and not hidden(job.status)]
    absent = next(each for each in SWEPT_STATUSES if each != first)
    # Not the first job's status: even a server that does not filter, or cuts first, would show that job.
    other = next(iter(sorted(others, key=lambda each: each not in SWEPT_STATUSES)), absent)
    tried = [other] if hidden(first) else [other, first]
    for status in tried if others else reversed(tried):
        for _ in range(FEW_TRIES):
            page = yield from ask(sync, replace(head.view, status=status), limit=1)
            if page.jobs:
                others.append(status)
                break
            if status not in (first, *others) and not (yield from _tells_of_some(sync, head, page)):
                break
        else:
            raise Contradiction("status_filter", f"it hides jobs that are {status}")
    if other not in others:
        return f"no job is {other}, and it shows none"
    return f"asked for {other} jobs, it shows 1 of them and no others"


def _tells_of_some(sync: Sync, head: PlacedPage, page: PlacedPage) -> Asking[bool]:
    """Whether the total of a filtered page without jobs tells of some; it may be the whole list's, which moves."""
    told, before = page.answer.total_count, head.answer.total_count
    if told is None or before is None or told in (0, before):
        return before is None and bool(told)
    after = (yield from ask(sync, head.view, limit=1)).answer.total_count
    return after is None or not min(before, after) <= told <= max(before, after)


# -- the order -----------------------------------------------------------------------------------


def order_pays(sync: Sync) -> bool:
    """Whether reading the whole list takes more calls than finding its order, at worst."""
    return sync.pages_for(sync.progress.expected or 0) > ORDER_CALLS * len(ORDERS_TO_TRY)


def calibrate_order(sync: Sync) -> Asking[PlacedPage | None]:
    """Find the order in which the server can sort the list. Returns the head in it; None if none is proven. One that
    was contradicted is tried first: mostly the answer was wrong, and the server still sorts."""
    evidence = "no order could be proven"
    was = ORDERS.get(sync.profile.order.was)
    for order, value in sorted(ORDERS_TO_TRY, key=lambda each: each[0] is not was):
        try:
            head = yield from _prove(sync, order)
        except RefusedError as error:
            if order.sort_key is None or not is_refusal(error):
                raise  # if even the list as it is is refused, the server is in trouble
            continue
        except Contradiction as contradiction:
            if contradiction.trait != "order":
                raise
            evidence = contradiction.evidence
            continue
        if head is None:
            return None  # nothing contradicts it, and nothing proves it yet
        only = order is BY_CHANGE and not (yield from _also_by_submission(sync))
        sync.found(
            "order",
            "change_only" if only else value,
            f"pages from here and there are sorted by {order.sort_key or BY_SUBMISSION.sort_key}",
        )
        return head if head.total is not None else (yield from ask(sync, head.view))
    sync.found("order", "none", evidence)
    return None


def _prove(sync: Sync, order: Order) -> Asking[PlacedPage | None]:
    """Prove an order by a random page, the last page and the head: each must be sorted, and none may begin newer
    than one nearer to the head. Returns the head; None if all times are the same. Raises ``Contradiction``."""
    last = int(min(sync.length, sync.profile.most_offset)) - sync.page_size
    places = [sync.rng.randrange(last), last] if last > 0 else []
    above_at, seen = float("inf"), dict[str, int]()
    deepest: list[Job] = []
    for place in places:
        page = yield from _sorted_page(sync, order, place)
        if page.jobs and order.moment(page.jobs[0]) > above_at:
            raise Contradiction("order", f"a page is newer than one above it by {order.column}")
        above_at = order.moment(page.jobs[0]) if page.jobs else above_at
        seen |= {job.uuid: order.moment(job) for job in page.jobs}
        deepest = list(page.jobs)
    head = yield from _sorted_page(sync, order, 0)
    if not head.jobs or not deepest:
        return None
    bottom_at, on_head = order.moment(head.jobs[-1]), set(head.uuids)
    if any(at > bottom_at and uuid not in on_head for uuid, at in seen.items()):
        raise Contradiction(
            "order", f"a job is not on the head, where it ought to be by {order.column}"
        )
    if len({order.moment(job) for job in (*head.jobs, *deepest)}) < 2:
        return None
    return head


def _sorted_page(sync: Sync, order: Order, place: int) -> Asking[PlacedPage]:
    try:
        page = yield from ask(sync, ListView(order), place)
    except Contradiction as contradiction:
        if isinstance(contradiction.__cause__, RefusedError) and place:
            # If this is refused, too, the order is refused, and not the offset.
            yield from ask(sync, ListView(order))
        raise
    if not order.sorts(page.jobs):
        raise Contradiction("order", f"a page is not sorted by {order.sort_key or 'submission'}")
    sync.take(page)
    return page


def _also_by_submission(sync: Sync) -> Asking[bool]:
    """Whether the server can also sort by submission, in which only deletions move ranks."""
    last = int(min(sync.length, sync.profile.most_offset)) - sync.page_size
    try:
        page = yield from _sorted_page(sync, BY_SUBMISSION, max(0, last) // 2)
    except (RefusedError, Contradiction):
        return False
    return len({BY_SUBMISSION.moment(job) for job in page.jobs}) > 1


# -- how deep offsets reach ------------------------------------------------------------------------


def calibrate_depth(sync: Sync, head: PlacedPage) -> Asking[None]:
    """Find how many jobs the server shows of those that its total counts, or that the total is wrong."""
    shown = yield from _trying(sync, "depth", "unlimited", _depth(sync, head.view, head.total))
    if not shown and head.total is not None:
        evidence = f"it tells of {head.total} jobs, and the list ends before that"
        sync.contradict("total_count", evidence)  # if it happens again, totals are not used
        return
    told = "no total is told" if head.total is None else f"of {head.total} jobs"
    found = shown or "unlimited"
    sync.found("depth", found, f"{told}, it shows {found if found.isdigit() else 'all'}")


def _depth(sync: Sync, view: ListView, total: int | None) -> Asking[str]:
    """The depth; empty if the list ends where no server stops showing jobs: then the total, if any, is wrong."""
    depths = [window for window in KNOWN_DEPTHS if total is None or window < total]
    depths += [total] if total else []
    reached, beyond = 0, len(depths)
    while reached < beyond:
        middle = (reached + beyond) // 2
        shown = yield from _shows(sync, view, depths[middle] - 1)
        reached, beyond = (middle + 1, beyond) if shown else (reached, middle)
    if reached == len(depths):
        # The total may count no more than that.
        goes_on = total and is_limit(total) and not (yield from _shows(sync, view, total))
        return str(total) if goes_on else "unlimited"
    if not reached:
        yield from ask(sync, view)  # if this is refused, too, the server is in trouble
        return ""
    for window in (depths[reached - 1], depths[reached - 1] + 1):  # or it holds for offsets alone
        if not (yield from _shows(sync, view, window)):
            return str(window)
    return ""


def _shows(sync: Sync, view: ListView, place: int) -> Asking[bool]:
    """Whether the server shows a job at an offset."""
    try:
        page = yield from send(sync, view, place, limit=1)
    except (RefusedError, Contradiction) as error:
        if isinstance(error, Contradiction) and error.trait != "depth":
            raise
        return False
    # If the list has become shorter meanwhile, its total says so.
    return bool(page.jobs) or (page.total_count is not None and page.total_count <= place)


# -- how far answers may be behind -----------------------------------------------------------------


def learn_lag(sync: Sync) -> None:
    """Note the lag if an answer was older than what was known. It costs calls, so it is forgotten after a day."""
    behind = sync.intake.stale_seconds
    if not behind and not sync.just_now(sync.profile.lag.at, LONGEST_PAUSE_SECONDS):
        sync.forget("lag")
    if behind <= max(0.0, sync.profile.lag_seconds) or behind > LAGS[-1]:
        return
    value = next(str(each) for each in LAGS if each >= behind)
    sync.found("lag", value, f"an answer was {behind:.0f} s behind an earlier one")
