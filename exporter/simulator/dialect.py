"""What the API's documentation leaves open, as switches; and the named combinations of them."""

from dataclasses import dataclass, replace
from typing import Literal

from exporter.simulator.listed import Order, TieOrder, Transition

LISTED_STATUSES = frozenset({"pending", "running", "finished", "exited", "cancelled"})
"""The words of ``jobs_status`` that the documentation lists."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one server behaves where the documentation does not say, or may not be right."""

    sort: Literal["honoured", "ignored", "refused"] = "honoured"
    """``refused`` answers 1101 to any ``sort_key``."""
    sort_keys: frozenset[Order] = frozenset(Order)
    """The sort keys that are known, where sorting is honoured."""
    unknown_sort_key: Literal["ignored", "refused"] = "refused"
    reverse: Literal["honoured", "ascending", "descending"] = "honoured"
    """The direction that is taken whatever ``reverse`` says, or ``honoured``."""
    default_order: Order = Order.SUBMITTED
    """Without a sort key, or where it is not honoured. ``UUID`` is arbitrary but stable."""
    default_descending: bool = True
    ties: TieOrder = TieOrder.STABLE
    filters: Literal["honoured", "ignored"] = "honoured"
    unlisted_status: Literal["matched", "ignored", "refused"] = "matched"
    """``jobs_status`` with a word that the documentation does not list, such as ``suspended``."""
    unmatched_statuses: frozenset[str] = frozenset()
    """Words of ``jobs_status`` that match no job, although jobs are in that status."""
    total_count: Literal["filtered", "whole", "missing"] = "filtered"
    page_cap: int = 100
    times: Literal["plain", "z"] = "plain"
    zone_offset_seconds: int = 0
    """Of plain times: what the cluster's local time is ahead of UTC."""
    absent_start: Literal["null", "empty"] = "null"
    """How ``started_time`` shows that a job has not started."""
    numbers: Literal["int", "string"] = "int"
    """Of job id, cores, priority and ``total_count``."""
    empty_page: Literal["list", "null"] = "list"
    status_spelling: Literal["tidy", "untidy"] = "tidy"
    """``untidy`` puts blanks around statuses and capitals into them."""
    queue_name: Literal["present", "null", "absent"] = "present"
    """Where it is not present, ``name`` and ``hpq_name`` still have the queue."""
    text: Literal["utf8", "escaped"] = "utf8"
    """Whether the JSON has characters beyond ASCII as they are."""
    extra_fields: bool = False
    """Fields that nobody has heard of, in the answer and in every record."""
    still_transitions: frozenset[Transition] = frozenset()
    """The transitions that leave ``modified_time`` where it was."""


DOCUMENTED = Dialect()
"""What one would hope for after reading the documentation."""

_UNSORTED = replace(DOCUMENTED, sort="ignored")
_SCAN = replace(_UNSORTED, filters="ignored")

DIALECTS: dict[str, Dialect] = {
    "documented": DOCUMENTED,
    "sort-ignored": _UNSORTED,
    "sort-refused": replace(DOCUMENTED, sort="refused"),
    "sort-ignored-by-id": replace(_UNSORTED, default_order=Order.JOB_ID, default_descending=False),
    "sort-ignored-arbitrary": replace(_UNSORTED, default_order=Order.UUID),
    "sort-by-submitted-only": replace(
        DOCUMENTED, sort_keys=frozenset({Order.SUBMITTED, Order.JOB_ID})
    ),
    "sort-by-modified-only": replace(
        DOCUMENTED, sort_keys=frozenset({Order.MODIFIED}), unknown_sort_key="ignored"
    ),
    "reverse-ignored": replace(DOCUMENTED, reverse="ascending"),
    "always-descending": replace(DOCUMENTED, reverse="descending"),
    "filters-ignored": replace(DOCUMENTED, filters="ignored"),
    "filters-empty": replace(DOCUMENTED, unmatched_statuses=LISTED_STATUSES),
    "filters-empty-pending": replace(DOCUMENTED, unmatched_statuses=frozenset({"pending"})),
    "filters-empty-running": replace(DOCUMENTED, unmatched_statuses=frozenset({"running"})),
    "sort-ignored-filters-empty": replace(_UNSORTED, unmatched_statuses=LISTED_STATUSES),
    "nothing-honoured": _SCAN,
    "nothing-honoured-arbitrary": replace(
        _SCAN, default_order=Order.UUID, default_descending=False
    ),
    "nothing-honoured-total-missing": replace(_SCAN, total_count="missing"),
    "statuses-refused": replace(DOCUMENTED, unlisted_status="refused"),
    "total-whole": replace(DOCUMENTED, total_count="whole"),
    "total-missing": replace(DOCUMENTED, total_count="missing"),
    "sort-ignored-total-whole": replace(_UNSORTED, total_count="whole"),
    "sort-ignored-total-missing": replace(_UNSORTED, total_count="missing"),
    "ties-reversed": replace(DOCUMENTED, ties=TieOrder.REVERSED),
    "ties-shuffled": replace(DOCUMENTED, ties=TieOrder.SHUFFLED),
    "sort-ignored-ties-shuffled": replace(_UNSORTED, ties=TieOrder.SHUFFLED),
    "still-start": replace(DOCUMENTED, still_transitions=frozenset({Transition.START})),
    "still-end": replace(
        DOCUMENTED, still_transitions=frozenset({Transition.END, Transition.CANCEL})
    ),
    "still-requeue": replace(DOCUMENTED, still_transitions=frozenset({Transition.REQUEUE})),
    "still-all": replace(DOCUMENTED, still_transitions=frozenset(Transition)),
    "times-z": replace(DOCUMENTED, times="z", absent_start="empty"),
    "times-local": replace(DOCUMENTED, zone_offset_seconds=8 * 3600),
    "strings": replace(DOCUMENTED, numbers="string"),
    "nulls": replace(DOCUMENTED, empty_page="null", queue_name="null"),
    "untidy": replace(
        DOCUMENTED,
        numbers="string",
        empty_page="null",
        status_spelling="untidy",
        queue_name="absent",
        text="escaped",
        extra_fields=True,
        absent_start="empty",
    ),
    "small-pages": replace(DOCUMENTED, page_cap=20),
}
"""Every behaviour that the API reference marks as unverified, by name."""
