"""job/list: from the parameters of a request to its answer, in the dialect of the cluster."""

import random
from collections.abc import Mapping
from typing import Any

from exporter.simulator.dialect import LISTED_STATUSES, Dialect
from exporter.simulator.joblist import JobList
from exporter.simulator.listed import ListedJob, Listing, Order
from exporter.simulator.records import record
from exporter.simulator.refusal import RefusalError

JOB_LIST_ACTION = "HpcJobListJobsResponse"
_DEFAULT_LIMIT = 10
_MOST_DIGITS = 9
_NO_STATUS = "no such status"


def job_list(
    jobs: JobList, dialect: Dialect, params: Mapping[str, str], rng: random.Random
) -> dict[str, Any]:
    """The answer to a request that is allowed; ``RefusalError`` if a parameter is wrong.

    ``rng`` shuffles ties in the dialects that do.
    """
    offset = _whole_number(params, "offset", 0)
    limit = min(_whole_number(params, "limit", _DEFAULT_LIMIT), dialect.page_cap)
    order, descending = _sorting(params, dialect)
    filters = _filters(params, dialect)
    if dialect.filters == "honoured" and params.get("search_word"):
        found = _searched(jobs, params["search_word"], filters)
        page = Listing(found[offset : offset + limit], len(found))
    else:
        page = jobs.page(
            order=order,
            descending=descending,
            offset=offset,
            limit=limit,
            ties=dialect.ties,
            rng=rng,
            **filters,
        )
    return _answer(page, len(jobs), dialect)


def _answer(page: Listing, whole: int, dialect: Dialect) -> dict[str, Any]:
    answer: dict[str, Any] = {"action": JOB_LIST_ACTION, "ret_code": 0}
    if dialect.total_count != "missing":
        total = page.matching if dialect.total_count == "filtered" else whole
        answer["total_count"] = str(total) if dialect.numbers == "string" else total
    records = [record(job, dialect) for job in page.jobs]
    answer["hpc_job_set"] = records if records or dialect.empty_page == "list" else None
    if dialect.extra_fields:
        answer["request_id"] = "req-0001"
        answer["paging"] = {"next": None}
    return answer


def _whole_number(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise RefusalError(1100, f"InvalidRequestFormat, [{name}] should be an integer")
    return int(text)


def _sorting(params: Mapping[str, str], dialect: Dialect) -> tuple[Order, bool]:
    default = (dialect.default_order, dialect.default_descending)
    wanted = params.get("sort_key")
    if not wanted:
        return default
    if dialect.sort == "refused":
        raise RefusalError(1101, f"InvalidParameterValue, sort_key [{wanted}] is not supported")
    if dialect.sort == "ignored":
        return default
    try:
        order = Order(wanted)
    except ValueError:
        order = None
    if order is None or order not in dialect.sort_keys:
        if dialect.unknown_sort_key == "ignored":
            return default
        raise RefusalError(1101, f"InvalidParameterValue, unknown sort_key [{wanted}]")
    if dialect.reverse != "honoured":
        return order, dialect.reverse == "descending"
    return order, _whole_number(params, "reverse", 0) == 1


def _filters(params: Mapping[str, str], dialect: Dialect) -> dict[str, str | None]:
    if dialect.filters == "ignored":
        return {"status": None, "queue": None, "user": None}
    status = params.get("jobs_status") or None
    if status in dialect.unmatched_statuses:
        status = _NO_STATUS
    elif status is not None and status not in LISTED_STATUSES:
        if dialect.unlisted_status == "refused":
            raise RefusalError(1100, f"InvalidParameterValue, jobs_status [{status}]")
        if dialect.unlisted_status == "ignored":
            status = None
    return {
        "status": status,
        "queue": params.get("queue_name") or None,
        "user": params.get("run_user") or None,
    }


def _searched(jobs: JobList, word: str, filters: Mapping[str, str | None]) -> list[ListedJob]:
    found = [
        job
        for job in jobs.search(word)
        if all(wanted is None or getattr(job, name) == wanted for name, wanted in filters.items())
    ]
    found.reverse()
    return found
