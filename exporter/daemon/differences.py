"""Where a server differs from its documentation, or from what one would want. Pure.

Each has a key, under which ``texts`` has the words for it and for what to do.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from exporter.api.shape import JOB_FIELDS, MAY_BE_ABSENT, STATUSES, Shape
from exporter.config.checks import is_plain_http_abroad
from exporter.daemon.findings import (
    Call,
    CapacityFindings,
    ClusterFindings,
    Findings,
    cost_of_all,
)
from exporter.model import PAGE_LIMIT
from exporter.texts.servers import difference

CLOCK_SECONDS = 5.0
"""A clock that is off by less is right, as far as a ``Date`` can tell."""
SLOW_PART = 0.5
"""An answer that takes more than this part of the timeout may soon take all of it."""
_ANSWER_FIELDS = frozenset({"action", "ret_code", "message", "total_count", "hpc_job_set"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs."""

    key: str
    parts: Mapping[str, str | int | float] = field(default_factory=dict)
    """What is filled into its text."""
    clusters: tuple[str, ...] = ()
    """The names of those that it concerns; none for the account."""


def differences(found: Findings) -> list[Difference]:
    """All differences; one that concerns several clusters appears once."""
    together: dict[tuple[str, str], Difference] = {}
    for each in found.clusters:
        for one in _of_cluster(each, found):
            key = (one.key, repr(sorted(one.parts.items())))
            before = together.get(key, one).clusters
            together[key] = Difference(one.key, one.parts, (*before, each.config.name))
    return [*_of_account(found), *together.values()]


def _of_account(found: Findings) -> Iterator[Difference]:
    off = found.clock_off_seconds
    if off is not None and abs(off) > CLOCK_SECONDS:
        yield Difference("clock_ahead" if off > 0 else "clock_behind", {"seconds": round(abs(off))})
    elif off is None and found.timings:
        yield Difference("no_date")
    if is_plain_http_abroad(found.account.endpoint):
        yield Difference("plain_http")
    if found.list_failure is not None and any(each.shape for each in found.clusters):
        yield Difference("no_cluster_list", {"reason": found.list_failure.reason})
    slowest = max((each.most_seconds for each in found.timings), default=0.0)
    timeout = found.account.timeout_seconds
    if slowest > SLOW_PART * timeout:
        yield Difference("slow", {"seconds": round(slowest, 1), "timeout": round(timeout, 1)})
    cost = cost_of_all(found)
    if cost.stretch > 1.0:
        yield Difference("over_budget", {"times": round(cost.stretch, 1)})


def _of_cluster(found: ClusterFindings, whole: Findings) -> Iterator[Difference]:
    if found.listed is not None and found.listed.status not in ("", "active"):
        yield Difference("not_active", {"status": found.listed.status})
    if found.listed is None and whole.listed is not None and found.shape is not None:
        yield Difference("not_listed")
    if not found.finished:
        if not whole.failures:
            yield Difference("not_finished")
    elif not found.one_page:
        yield from _of_lists(found)
    if found.shape is not None:
        yield from _of_times(found, found.shape)
        yield from _of_records(found, found.shape)
    if found.capacity is not None:
        active = found.listed is None or found.listed.status in ("", "active")
        yield from _of_capacity(found.capacity, active=active)


def _of_capacity(found: CapacityFindings, *, active: bool) -> Iterator[Difference]:
    """While the cluster is not active, a refusal may be about its state."""
    denied, unknown = found.calls_with("denied"), found.calls_with("not_known")
    if denied and active:
        yield Difference("capacity_denied", {"calls": _names(found, denied)})
    if unknown and active:
        yield Difference("capacity_not_known", {"calls": _names(found, unknown)})
    for call in found.calls_with("failed"):
        parts = {"call": found.name_of(call), "reason": found.answers[call].reason}
        yield Difference("capacity_failed", parts)
    if found.queues and not any(queue.cores.total for queue in found.queues):
        yield Difference("no_capacity")


def _names(found: CapacityFindings, calls: Iterable[Call]) -> str:
    return ", ".join(map(found.name_of, calls))


def _of_lists(found: ClusterFindings) -> Iterator[Difference]:
    traits = found.traits
    for trait, value in traits.items():
        told = difference(trait, value)
        if trait == "counters":  # which only the daemon can find out
            continue
        if told is not None and (trait != "zone" or value == "contradicted"):
            yield Difference(*told)
    size = int(traits["page_size"]) if traits["page_size"].isdigit() else PAGE_LIMIT
    cut = [longest for longest, told in _filtered(found) if 1 < longest < min(size, told)]
    if traits["total_count"] == "filtered" and cut:
        yield Difference("short_filtered_pages", {"jobs": max(cut)})


def _filtered(found: ClusterFindings) -> Iterator[tuple[int, int]]:
    """The longest page and the total of each status that was asked for: of some, only one job was."""
    for status in {a.status for a in found.asked if a.status is not None}:
        pages = [a for a in found.asked if a.status == status]
        yield max(a.jobs for a in pages), max(a.told or 0 for a in pages)


def _of_times(found: ClusterFindings, shape: Shape) -> Iterator[Difference]:
    zone = found.traits["zone"]
    types = frozenset().union(*shape.record.values())
    zoneless, zoned = "time without a zone" in types, "time with a zone" in types
    if zoneless and zone == "unknown":
        yield Difference("zone_unknown")
    if zoneless and zone[:1] in ("+", "-"):
        yield Difference("zone_local", {"value": zone})
    if zoneless and zoned:
        yield Difference("zones_mixed")


def _of_records(found: ClusterFindings, shape: Shape) -> Iterator[Difference]:
    seen = shape.record
    named = {
        "unknown_fields": seen.keys() - JOB_FIELDS,
        "missing_fields": JOB_FIELDS - seen.keys() - MAY_BE_ABSENT - {"queue_name"},
        "numbers_in_texts": {n for n, types in seen.items() if "number in a text" in types},
        "unknown_statuses": shape.statuses - STATUSES,
        "unknown_answer_fields": shape.answer.keys() - _ANSWER_FIELDS,
    }
    named["numbers_in_texts"] &= {"job_id", "core_limit", "job_priority"}
    for key, names in named.items():
        if names:
            yield Difference(key, {"names": ", ".join(sorted(names))})
    if not seen.get("queue_name", frozenset()) & {"text", "number in a text"}:
        yield Difference("no_queue_name")
    if "text in capitals or with blanks" in seen.get("job_status", ()):
        yield Difference("untidy_statuses")
    if shape.lax:
        yield Difference("lax_json")
    if found.left_out:
        yield Difference("left_out", {"records": found.left_out})
