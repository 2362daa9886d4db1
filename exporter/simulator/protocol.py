"""The pretend cloud without its wire: which jobs, or which refusal, answers which request."""

import random
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.simulator.dialect import DOCUMENTED, Dialect
from exporter.simulator.joblist import JobList, ListedJob, Order, TieOrder
from exporter.simulator.records import record

LISTED_STATUSES = frozenset({"pending", "running", "finished", "exited", "cancelled"})
"""The words of ``jobs_status`` that the documentation lists."""

_DEFAULT_LIMIT = 10
_MOST_DIGITS = 9
_JOB_LIST_ACTION = "HpcJobListJobsResponse"


class RefusalError(Exception):
    """The request is answered with a ``ret_code`` other than 0."""

    def __init__(self, ret_code: int, message: str) -> None:
        super().__init__(message)
        self.ret_code = ret_code
        self.message = message


@dataclass(slots=True)
class HostedCluster:
    """One cluster of the pretend cloud."""

    cluster_id: str
    zone: str
    access_key_id: str
    """Of the account that owns it."""
    jobs: JobList
    dialect: Dialect = DOCUMENTED

    def speak(self, dialect: Dialect) -> None:
        """Behave as ``dialect`` says from now on."""
        self.dialect = dialect
        self.jobs.still_transitions = dialect.still_transitions


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the pretend cloud."""

    access_key_id: str = "QYACCESSKEYIDEXAMPLE"
    secret_access_key: str = field(default="SECRETACCESSKEY", repr=False)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One request that came in."""

    at: float
    access_key_id: str
    cluster_id: str
    params: Mapping[str, str]
    """Without the signature."""
    outcome: str
    """``ok``, a ``ret_code``, ``http-404``, or the name of the fault that was played."""


class Cloud:
    """Accounts, their clusters, and what becomes of requests. Not locked: the server does that."""

    def __init__(
        self,
        accounts: Iterable[Account] = (Account(),),
        *,
        seed: int = 0,
        journal_limit: int = 100_000,
    ) -> None:
        self.accounts = {account.access_key_id: account for account in accounts}
        self.clusters: dict[str, HostedCluster] = {}
        self.journal: deque[JournalEntry] = deque(maxlen=journal_limit)
        self.calls = 0
        """Requests answered since the start, also those that the journal has forgotten."""
        self._rng = random.Random(seed)

    def add_cluster(
        self,
        cluster_id: str,
        *,
        zone: str = "jinan1a",
        access_key_id: str | None = None,
        jobs: JobList | None = None,
        dialect: Dialect = DOCUMENTED,
    ) -> HostedCluster:
        """Host one more cluster, of the first account unless told."""
        owner = access_key_id or next(iter(self.accounts))
        cluster = HostedCluster(
            cluster_id,
            zone,
            owner,
            JobList(uuid_salt=len(self.clusters) * 7919) if jobs is None else jobs,
        )
        cluster.speak(dialect)
        self.clusters[cluster_id] = cluster
        return cluster

    def list_jobs(
        self, cluster_id: str, params: Mapping[str, str], now_at: float
    ) -> dict[str, Any]:
        """One call of job/list without HTTP, signature, quota and faults: the decoded JSON object.

        ``params`` are job/list's own: ``limit``, ``offset``, ``jobs_status``, ``queue_name``,
        ``run_user``, ``search_word``, ``sort_key``, ``reverse``. A refusal is an object, too.
        """
        try:
            answer = self._job_list(self._hosted(cluster_id), params)
            outcome = "ok"
        except RefusalError as refusal:
            answer = refusal_object(_JOB_LIST_ACTION, refusal)
            outcome = str(refusal.ret_code)
        self._note(now_at, "", cluster_id, params, outcome)
        return answer

    def _note(
        self,
        at: float,
        access_key_id: str,
        cluster_id: str,
        params: Mapping[str, str],
        outcome: str,
    ) -> None:
        self.calls += 1
        self.journal.append(JournalEntry(at, access_key_id, cluster_id, dict(params), outcome))

    def _hosted(self, cluster_id: str) -> HostedCluster:
        cluster = self.clusters.get(cluster_id)
        if cluster is None:
            raise RefusalError(2100, f"ResourceNotFound, cluster [{cluster_id}] not found")
        return cluster

    def _job_list(self, cluster: HostedCluster, params: Mapping[str, str]) -> dict[str, Any]:
        dialect = cluster.dialect
        offset = _whole_number(params, "offset", 0)
        limit = min(_whole_number(params, "limit", _DEFAULT_LIMIT), dialect.page_cap)
        order, descending = _sorting(params, dialect)
        filters = _filters(params, dialect)
        if dialect.filters == "honoured" and params.get("search_word"):
            found = _searched(cluster.jobs, params["search_word"], filters)
            jobs, matching = found[offset : offset + limit], len(found)
        else:
            jobs, matching = cluster.jobs.page(
                order=order,
                descending=descending,
                offset=offset,
                limit=limit,
                ties=dialect.ties,
                rng=self._rng if dialect.ties is TieOrder.SHUFFLED else None,
                **filters,
            )
        return _answer(jobs, matching, len(cluster.jobs), dialect)


def refusal_object(action: str, refusal: RefusalError) -> dict[str, Any]:
    """What the API answers when it refuses."""
    return {"action": action, "ret_code": refusal.ret_code, "message": refusal.message}


def _answer(jobs: list[ListedJob], matching: int, whole: int, dialect: Dialect) -> dict[str, Any]:
    answer: dict[str, Any] = {"action": _JOB_LIST_ACTION, "ret_code": 0}
    if dialect.total_count != "missing":
        total = matching if dialect.total_count == "filtered" else whole
        answer["total_count"] = str(total) if dialect.numbers == "string" else total
    records = [record(job, dialect) for job in jobs]
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
    if status is not None and status not in LISTED_STATUSES:
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
