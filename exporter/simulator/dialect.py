"""What the API's documentation leaves open, as switches, and named combinations of them.

Every combination of the switches is a server. ``drawing.py`` says which values are plausible,
``spelling.py`` how a combination is written on a command line.
"""

from dataclasses import dataclass, replace
from typing import Literal

from exporter.simulator.listed import Order, TieOrder, Transition
from exporter.simulator.refusal import Refused

LISTED_STATUSES = frozenset({"pending", "running", "finished", "exited", "cancelled"})
"""The words of the status filter that the documentation lists."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one server behaves where the documentation does not say, or may not be right."""

    status_filter: Literal["jobs_status", "job_status", "either"] = "jobs_status"
    """The parameter's name. Another name is an unknown parameter like any other."""
    unknown_param: Literal["ignored"] | Refused = "ignored"
    """Known are those of the API's documentation and of the vendor's own client."""
    sort_keys: frozenset[Order] = frozenset(Order)
    """The sort keys that are known."""
    unknown_sort_key: Literal["ignored"] | Refused = "1101"
    """Where it is ignored, the list comes in the default order."""
    reverse: Literal["honoured", "ascending", "descending"] = "honoured"
    """The direction that is taken whatever ``reverse`` says, or ``honoured``."""
    default_order: Order = Order.SUBMITTED
    """Without a sort key, or where it is ignored. ``UUID`` is arbitrary but stable."""
    default_descending: bool = True
    ties: TieOrder = TieOrder.STABLE
    filters: Literal["honoured", "ignored"] = "honoured"
    """By status, queue and user, and the search."""
    unlisted_status: Literal["matched", "ignored"] | Refused = "matched"
    """A filter by a status that the documentation does not list, such as ``suspended``."""
    unmatched_statuses: frozenset[str] = frozenset()
    """Statuses by which the filter finds no job, although jobs are in them."""
    filter_after_cut: bool = False
    """A page is cut from the whole list, and then the filter takes away from it."""
    total_count: Literal["filtered", "whole", "missing"] = "filtered"
    total_limit: int = 0
    """No total is higher, however many jobs there are, as of a search engine; 0 if there is no such
    limit."""
    page_cap: int = 100
    filtered_page_cap: int = 0
    """Of requests with a filter, where it is smaller; 0 if there is no such difference."""
    depth_limit: int = 0
    """No job that stands further down in any order is ever sent; 0 if there is no such limit."""
    beyond_depth: Literal["empty"] | Refused = "empty"
    """``empty`` sends as much of the page as lies above the limit, and the right total."""
    depth_of: Literal["page", "offset"] = "page"
    """What must not lie beyond the limit: all of a page, or only its offset."""
    lag_seconds: int = 0
    """A read replica, as old as that, gives some of the answers; 0 if there is none."""
    lagging: Literal["alternate", "random"] = "alternate"
    """Which answers the replica gives: every second one, or half of them by chance."""
    cache_seconds: int = 0
    """How long the same question gets the same answer, from a cache."""
    signed_slash: Literal["either", "encoded", "plain"] = "either"
    """How a ``/`` in a parameter's value is signed: as ``%2F`` (documentation) or as it is (the
    vendor's own client)."""
    times: Literal["plain", "z", "mixed"] = "plain"
    """With ``z``, a time ends in ``Z`` and is UTC; ``mixed``: so in every second record."""
    zone_offset_seconds: int = 0
    """Of times without ``Z``: what the cluster's local time is ahead of UTC."""
    absent_start: Literal["null", "empty", "zero"] = "null"
    """How ``started_time`` shows that a job has not started; ``zero`` is 1970 in China's time."""
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
    """Undocumented fields in the answer and in every record."""
    still_transitions: frozenset[Transition] = frozenset()
    """The transitions that leave ``modified_time`` where it was."""


DOCUMENTED = Dialect()
"""What one expects after reading the documentation."""

_UNSORTED = replace(DOCUMENTED, sort_keys=frozenset(), unknown_sort_key="ignored")
_SCAN = replace(_UNSORTED, filters="ignored")

DIALECTS: dict[str, Dialect] = {
    "documented": DOCUMENTED,
    "sort-ignored": _UNSORTED,
    "sort-refused": replace(DOCUMENTED, sort_keys=frozenset()),
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
    "statuses-refused": replace(DOCUMENTED, unlisted_status="1100"),
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
"""What the API's documentation leaves unverified, by name."""

_CONSOLE = replace(
    DOCUMENTED,
    status_filter="job_status",
    sort_keys=frozenset({Order.SUBMITTED}),
    unknown_sort_key="ignored",
    times="z",
)
"""What the server's own description, its web console and the vendor's client speak of."""
_CUT_FIRST = replace(DOCUMENTED, filter_after_cut=True)
_WINDOW = replace(DOCUMENTED, depth_limit=10_000)

DEPLOYMENTS: dict[str, Dialect] = {
    "job-status": replace(DOCUMENTED, status_filter="job_status"),
    "job-status-strict": replace(
        DOCUMENTED, status_filter="job_status", unknown_param="problem", unknown_sort_key="problem"
    ),
    "jobs-status-strict": replace(DOCUMENTED, unknown_param="1100", unknown_sort_key="1100"),
    "either-status": replace(DOCUMENTED, status_filter="either", unknown_param="1100"),
    "console": _CONSOLE,
    "console-strict": replace(_CONSOLE, unknown_param="problem", unknown_sort_key="problem"),
    "console-by-id": replace(_CONSOLE, default_order=Order.UUID, unknown_sort_key="5000"),
    "times-mixed": replace(DOCUMENTED, times="mixed", zone_offset_seconds=8 * 3600),
    "lagging-5": replace(DOCUMENTED, lag_seconds=5),
    "lagging-20": replace(DOCUMENTED, lag_seconds=20, lagging="random"),
    "lagging-60": replace(DOCUMENTED, lag_seconds=60),
    "cached-5": replace(DOCUMENTED, cache_seconds=5),
    "cached-60": replace(DOCUMENTED, cache_seconds=60),
    "filter-after-cut": _CUT_FIRST,
    "filter-after-cut-total-whole": replace(_CUT_FIRST, total_count="whole"),
    "window": _WINDOW,
    "window-refused": replace(_WINDOW, depth_of="offset", beyond_depth="5000"),
    "window-counted": replace(_WINDOW, beyond_depth="problem", total_limit=10_000),
    "filtered-pages-of-50": replace(DOCUMENTED, filtered_page_cap=50),
    "slash-encoded": replace(DOCUMENTED, signed_slash="encoded"),
    "slash-plain": replace(DOCUMENTED, signed_slash="plain"),
}
"""What else a first deployment may turn out to be, by name."""
