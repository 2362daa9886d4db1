"""The pretend cloud without its wire: which jobs, or which refusal, answers which request."""

import random
from calendar import timegm
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import strptime
from typing import Any

from exporter.simulator.answers import Answer, html_answer, json_answer
from exporter.simulator.dialect import DOCUMENTED, Dialect
from exporter.simulator.fault_kinds import apply_fault
from exporter.simulator.faults import FaultPlan
from exporter.simulator.joblist import JobList
from exporter.simulator.listing import JOB_LIST_ACTION, job_list
from exporter.simulator.quota import Quota, QuotaMeter
from exporter.simulator.refusal import RefusalError
from exporter.simulator.signing import matches, signature, split_query

CLOCK_TOLERANCE_SECONDS = 60
"""A request whose timestamp is further off is refused with 1300."""

_ACTIONS: Mapping[str, str] = {
    "/api/job/list": JOB_LIST_ACTION,
    "/api/cluster/list": "HpcClusterListResponse",
}
_FIXED_PARAMS: Mapping[str, str] = {
    "signature_method": "HmacSHA256",
    "signature_version": "1",
    "version": "1",
}


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
    """``ok``, a ``ret_code`` or ``http-404``: what the cloud itself made of it."""
    fault: str = ""
    """The fault that was played instead."""


class Cloud:
    """Accounts, their clusters, and what becomes of requests. Not locked: the server does that."""

    def __init__(
        self,
        accounts: Iterable[Account] = (Account(),),
        *,
        quota: Quota | None = None,
        seed: int = 0,
        journal_limit: int = 100_000,
    ) -> None:
        self.accounts = {account.access_key_id: account for account in accounts}
        self.clusters: dict[str, HostedCluster] = {}
        self.faults = FaultPlan(seed=seed)
        self.journal: deque[JournalEntry] = deque(maxlen=journal_limit)
        self.calls = 0
        """Requests answered since the start, also those that the journal has forgotten."""
        self._meters = {key: QuotaMeter(quota) for key in self.accounts} if quota else {}
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

    def handle(self, method: str, path: str, raw_query: str, now_at: float) -> Answer:
        """One HTTP request as it came over the wire, at the server's own time ``now_at``."""
        if method != "GET" or not path.startswith("/api/"):
            status, title = (404, "Not Found") if method == "GET" else (405, "Method Not Allowed")
            self._note(JournalEntry(now_at, "", "", {}, f"http-{status}"))
            return html_answer(status, title)
        key, params = "", dict[str, str]()
        try:
            params, given = split_query(raw_query)
            key = self._authenticated(method, path, params, given, now_at)
            answer = json_answer(self._act(path, key, params), escaped=self._escapes(params))
            outcome = "ok"
        except RefusalError as refusal:
            answer = json_answer(refusal.as_object(_ACTIONS.get(path, "UnknownResponse")))
            outcome = str(refusal.ret_code)
        cluster_id = params.get("cluster_id", "")
        fault = self.faults.choose(cluster_id, now_at)
        played = fault.name if fault else ""
        self._note(JournalEntry(now_at, key, cluster_id, params, outcome, played))
        return apply_fault(fault, answer) if fault else answer

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
            answer = refusal.as_object(JOB_LIST_ACTION)
            outcome = str(refusal.ret_code)
        self._note(JournalEntry(now_at, "", cluster_id, dict(params), outcome))
        return answer

    def quota_used(self, access_key_id: str, now_at: float) -> int:
        """Requests of the account within its window; 0 where there is no quota."""
        meter = self._meters.get(access_key_id)
        return meter.used(now_at) if meter else 0

    def _authenticated(
        self, method: str, path: str, params: Mapping[str, str], given: str, now_at: float
    ) -> str:
        """The key id of the account that signed the request, which has been counted."""
        for name, value in _FIXED_PARAMS.items():
            if params.get(name) != value:
                raise RefusalError(1100, f"InvalidRequestFormat, [{name}] should be [{value}]")
        account = self.accounts.get(params.get("access_key_id", ""))
        if account is None:
            raise RefusalError(1200, "AuthFailure, access_key_id not found")
        if not matches(signature(method, path, params, account.secret_access_key), given):
            raise RefusalError(1200, "AuthFailure, signature not matched")
        if abs(_timestamp_at(params) - now_at) > CLOCK_TOLERANCE_SECONDS:
            raise RefusalError(1300, "RequestHasExpired, timestamp is out of range")
        meter = self._meters.get(account.access_key_id)
        if meter is not None:
            meter.take(now_at)
        return account.access_key_id

    def _act(self, path: str, key: str, params: Mapping[str, str]) -> dict[str, Any]:
        zone = params.get("zone", "")
        if not zone:
            raise RefusalError(1100, "InvalidRequestFormat, missing parameter [zone]")
        if path == "/api/cluster/list":
            return self._cluster_list(zone, key)
        if path != "/api/job/list":
            raise RefusalError(1101, "InvalidRequestMethod, unknown action")
        if not params.get("cluster_id"):
            raise RefusalError(1100, "InvalidRequestFormat, missing parameter [cluster_id]")
        cluster = self._hosted(params["cluster_id"])
        if cluster.zone != zone:
            raise RefusalError(2100, f"ResourceNotFound, no such cluster in zone [{zone}]")
        if cluster.access_key_id != key:
            raise RefusalError(1400, "PermissionDenied, the cluster is not yours")
        return self._job_list(cluster, params)

    def _escapes(self, params: Mapping[str, str]) -> bool:
        cluster = self.clusters.get(params.get("cluster_id", ""))
        return cluster is not None and cluster.dialect.text == "escaped"

    def _cluster_list(self, zone: str, key: str) -> dict[str, Any]:
        mine = [
            {
                "cluster_id": cluster.cluster_id,
                "cluster_name": cluster.cluster_id,
                "cluster_type": cluster.cluster_id.partition("-")[0],
                "status": "active",
                "pending_job_count": cluster.jobs.matching(status="pending"),
                "running_job_count": cluster.jobs.matching(status="running"),
                "finished_job_count": cluster.jobs.matching(status="finished"),
            }
            for cluster in self.clusters.values()
            if cluster.zone == zone and cluster.access_key_id == key
        ]
        action = _ACTIONS["/api/cluster/list"]
        return {"action": action, "ret_code": 0, "total_count": len(mine), "cluster_set": mine}

    def _note(self, entry: JournalEntry) -> None:
        self.calls += 1
        self.journal.append(entry)

    def _job_list(self, cluster: HostedCluster, params: Mapping[str, str]) -> dict[str, Any]:
        return job_list(cluster.jobs, cluster.dialect, params, self._rng)

    def _hosted(self, cluster_id: str) -> HostedCluster:
        cluster = self.clusters.get(cluster_id)
        if cluster is None:
            raise RefusalError(2100, f"ResourceNotFound, cluster [{cluster_id}] not found")
        return cluster


def _timestamp_at(params: Mapping[str, str]) -> float:
    try:
        return timegm(strptime(params.get("timestamp", ""), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise RefusalError(1100, "InvalidRequestFormat, [timestamp]") from None
