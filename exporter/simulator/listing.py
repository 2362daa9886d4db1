"""job/list: from the parameters of a request to its answer, in the dialect of the cluster."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exporter.simulator.dialect import LISTED_STATUSES, Dialect
from exporter.simulator.joblist import JobList
from exporter.simulator.list_faults import LIST_FAULTS
from exporter.simulator.listed import ListedJob, Listing, Order
from exporter.simulator.records import record
from exporter.simulator.refusal import DEFAULT_LIMIT, refusal, whole_number

JOB_LIST_ACTION = "HpcJobListJobsResponse"
STATUS_FILTERS: Mapping[str, tuple[str, ...]] = {
    "jobs_status": ("jobs_status",),
    "job_status": ("job_status",),
    "either": ("jobs_status", "job_status"),
}
"""By the dialect's word, the names that are known."""
_KNOWN_PARAMS = frozenset(
    {
        *("cluster_id", "limit", "offset", "queue_name", "run_user", "search_word"),
        *("sort_key", "reverse"),
        # not documented, but sent by the vendor's own client
        *("start_time", "end_time", "hpcjob_uuid", "hpcqueue_id", "cluster_type", "owner"),
        *("iamuser_name", "submit_type", "verbose"),
    }
)
_NO_STATUS = "no such status"


@dataclass(frozen=True, slots=True)
class _Question:
    """What a request asks for, as the dialect understands it."""

    offset: int
    limit: int
    order: Order
    descending: bool
    filters: Mapping[str, str | None]
    """By status, queue and user; None for what is not asked for."""
    word: str
    """That is searched for; empty for none."""

    def matches(self, job: ListedJob) -> bool:
        return all(
            wanted is None or getattr(job, name) == wanted for name, wanted in self.filters.items()
        ) and any(self.word in text for text in (job.uuid, str(job.job_id), job.queue, job.user))


def job_list(
    jobs: JobList,
    dialect: Dialect,
    params: Mapping[str, str],
    rng: random.Random,
    list_fault: str | None = None,
) -> dict[str, Any]:
    """The answer to a request that is allowed; ``RefusalError`` if a parameter is wrong.

    ``params`` are job/list's own. ``rng`` shuffles ties in the dialects that do. ``list_fault``
    names what is wrong with the list.
    """
    question = _question(params, dialect)
    if question.word or list_fault:
        page, whole = _page_of_rows(jobs, dialect, question, rng, list_fault)
    else:
        page, whole = _page(jobs, dialect, question, rng), len(jobs)
    return _answer(page, whole, dialect)


def _page(jobs: JobList, dialect: Dialect, question: _Question, rng: random.Random) -> Listing:
    page = jobs.page(
        order=question.order,
        descending=question.descending,
        offset=question.offset,
        limit=question.limit,
        ties=dialect.ties,
        rng=rng,
        **({} if dialect.filter_after_cut else question.filters),
    )
    if not dialect.filter_after_cut:
        return page
    kept = [job for job in page.jobs if question.matches(job)]
    return Listing(kept, jobs.matching(**question.filters))


def _page_of_rows(
    jobs: JobList,
    dialect: Dialect,
    question: _Question,
    rng: random.Random,
    list_fault: str | None,
) -> tuple[Listing, int]:
    """By a look at every job: the page, and how many rows the whole list has."""
    rows = jobs.page(
        order=question.order,
        descending=question.descending,
        limit=len(jobs),
        ties=dialect.ties,
        rng=rng,
    ).jobs
    if list_fault:
        rows = LIST_FAULTS[list_fault](rows, jobs, dialect.page_cap)
    matching = [job for job in rows if question.matches(job)]
    beyond = question.offset + question.limit
    if dialect.filter_after_cut:
        page = [job for job in rows[question.offset : beyond] if question.matches(job)]
    else:
        page = matching[question.offset : beyond]
    return Listing(page, len(matching)), len(rows)


def _answer(page: Listing, whole: int, dialect: Dialect) -> dict[str, Any]:
    answer: dict[str, Any] = {"action": JOB_LIST_ACTION, "ret_code": 0}
    if dialect.total_count != "missing":
        total = page.matching if dialect.total_count == "filtered" else whole
        total = min(total, dialect.total_limit or total)
        answer["total_count"] = str(total) if dialect.numbers == "string" else total
    records = [record(job, dialect) for job in page.jobs]
    answer["hpc_job_set"] = records if records or dialect.empty_page == "list" else None
    if dialect.extra_fields:
        answer["request_id"] = "req-0001"
        answer["paging"] = {"next": None}
    return answer


def _question(params: Mapping[str, str], dialect: Dialect) -> _Question:
    _check_names(params, dialect)
    filters = _filters(params, dialect)
    word = params.get("search_word", "") if dialect.filters == "honoured" else ""
    filtered = bool(word) or any(wanted is not None for wanted in filters.values())
    offset = whole_number(params, "offset", 0)
    limit = min(whole_number(params, "limit", DEFAULT_LIMIT), dialect.page_cap)
    if filtered and dialect.filtered_page_cap:
        limit = min(limit, dialect.filtered_page_cap)
    reach = offset + limit if dialect.depth_of == "page" else offset
    if dialect.depth_limit and reach > dialect.depth_limit:
        if dialect.beyond_depth != "empty":
            raise refusal(dialect.beyond_depth, f"beyond the first {dialect.depth_limit}")
        limit = max(0, dialect.depth_limit - offset)
    order, descending = _sorting(params, dialect)
    return _Question(offset, limit, order, descending, filters, word)


def _check_names(params: Mapping[str, str], dialect: Dialect) -> None:
    if dialect.unknown_param == "ignored":
        return
    unknown = params.keys() - _KNOWN_PARAMS - set(STATUS_FILTERS[dialect.status_filter])
    if unknown:
        names = ", ".join(sorted(unknown))
        raise refusal(dialect.unknown_param, f"InvalidRequestFormat, unknown parameter [{names}]")


def _sorting(params: Mapping[str, str], dialect: Dialect) -> tuple[Order, bool]:
    wanted = params.get("sort_key")
    known = {order.value: order for order in dialect.sort_keys}
    if wanted and wanted not in known and dialect.unknown_sort_key != "ignored":
        raise refusal(dialect.unknown_sort_key, f"unknown sort_key [{wanted}]")
    if wanted not in known:
        return dialect.default_order, dialect.default_descending
    if dialect.reverse != "honoured":
        return known[wanted], dialect.reverse == "descending"
    return known[wanted], whole_number(params, "reverse", 0) == 1


def _filters(params: Mapping[str, str], dialect: Dialect) -> dict[str, str | None]:
    if dialect.filters == "ignored":
        return {"status": None, "queue": None, "user": None}
    names = STATUS_FILTERS[dialect.status_filter]
    status = next((params[name] for name in names if params.get(name)), None)
    if status in dialect.unmatched_statuses:
        status = _NO_STATUS
    elif status is not None and status not in LISTED_STATUSES:
        if dialect.unlisted_status == "ignored":
            status = None
        elif dialect.unlisted_status != "matched":
            raise refusal(dialect.unlisted_status, f"InvalidParameterValue, status [{status}]")
    return {
        "status": status,
        "queue": params.get("queue_name") or None,
        "user": params.get("run_user") or None,
    }
