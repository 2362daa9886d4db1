"""The simulated cloud without the network: which jobs, or which refusal, a request gets."""

import random
from calendar import timegm
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from time import strptime
from typing import Any

from exporter.simulator.answers import PROBLEM_HEADERS, Answer, html_answer, json_answer
from exporter.simulator.dialect import DOCUMENTED, Dialect
from exporter.simulator.fault_kinds import (
    Fault,
    apply_fault,
    apply_to_object,
    is_about_any_answer,
    is_fault,
    is_object_fault,
)
from exporter.simulator.faults import FaultPlan
from exporter.simulator.fleet import (
    CLUSTERS,
    FLEET_CALLS,
    about_cluster,
    check_call,
    cluster_list,
)
from exporter.simulator.fleet_dialect import FleetDialect
from exporter.simulator.hosted import HostedCluster
from exporter.simulator.joblist import JobList
from exporter.simulator.listing import JOB_LIST_ACTION
from exporter.simulator.quota import Quota, QuotaMeter
from exporter.simulator.refusal import RefusalError
from exporter.simulator.signing import matches, signature, split_query

CLOCK_TOLERANCE_SECONDS = 60
"""A request whose timestamp is further off is refused with 1300."""

JOB_LIST = "/api/job/list"
_ACTIONS: Mapping[str, str] = {
    JOB_LIST: JOB_LIST_ACTION,
    **{path: call.action for path, call in FLEET_CALLS.items()},
}
_FIXED_PARAMS: Mapping[str, str] = {
    "signature_method": "HmacSHA256",
    "signature_version": "1",
    "version": "1",
}
_COMMON_PARAMS = frozenset({"access_key_id", "timestamp", "zone", *_FIXED_PARAMS})
_SLASHES: Mapping[str, tuple[str, ...]] = {
    "either": ("encoded", "plain"),
    "encoded": ("encoded",),
    "plain": ("plain",),
}


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the simulated cloud."""

    access_key_id: str = "QYACCESSKEYIDEXAMPLE"
    secret_access_key: str = field(default="SECRETACCESSKEY", repr=False)
    user_id: str = "usr-vceaHsJu"
    """Of its owner."""


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
    path: str = "/api/job/list"


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
        self.fleet = FleetDialect()
        """How clusters, queues and nodes are told of; replace it while the world goes on."""
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
            dialect,
        )
        self.clusters[cluster_id] = cluster
        return cluster

    def remove_cluster(self, cluster_id: str) -> None:
        """The cluster is deleted, with all that is in it."""
        del self.clusters[cluster_id]

    def handle(self, method: str, path: str, raw_query: str, now_at: float) -> Answer:
        """One HTTP request as it came over the wire, at the server's own time ``now_at``."""
        posted = method == "POST" and path in FLEET_CALLS
        if not (path.startswith("/api/") and (method == "GET" or posted)):
            status, title = (404, "Not Found") if method == "GET" else (405, "Method Not Allowed")
            self._note(JournalEntry(now_at, "", "", {}, f"http-{status}", path=path))
            return html_answer(status, title)
        key, params, fault = "", dict[str, str](), None
        try:
            params, given = split_query(raw_query)
            fault = self.faults.choose(
                params.get("cluster_id", ""),
                now_at,
                among=is_fault if path == JOB_LIST else is_about_any_answer,
            )
            key = self._authenticated(method, path, params, given, now_at)
            right = self._act(method, path, key, params, now_at, fault=fault)
            answer = json_answer(right, escaped=self._dialect(params).text == "escaped")
            outcome = "ok"
        except RefusalError as refusal:
            answer = _refused(refusal, _ACTIONS.get(path, "UnknownResponse"))
            outcome = refusal.outcome
        played = fault.name if fault else ""
        cluster_id = params.get("cluster_id", "")
        self._note(JournalEntry(now_at, key, cluster_id, params, outcome, played, path))
        return apply_fault(fault, answer) if fault else answer

    def list_jobs(
        self, cluster_id: str, params: Mapping[str, str], now_at: float
    ) -> dict[str, Any]:
        """One call of job/list without HTTP, signature and quota: the decoded JSON object.

        ``params`` are job/list's own: ``limit``, ``offset``, ``jobs_status``, ``queue_name``,
        ``run_user``, ``search_word``, ``sort_key``, ``reverse``. A refusal is an object, too: one
        without a ``ret_code`` is a problem document, which travels with HTTP 400. Of the faults,
        those of lists and objects are played.
        """
        fault = self.faults.choose(cluster_id, now_at, among=is_object_fault)
        try:
            answer = self._hosted(cluster_id).answer(params, now_at, self._rng, fault)
            outcome = "ok"
        except RefusalError as refusal:
            answer = refusal.as_object(JOB_LIST_ACTION)
            outcome = refusal.outcome
        played = fault.name if fault else ""
        self._note(JournalEntry(now_at, "", cluster_id, dict(params), outcome, played))
        return apply_to_object(fault, answer) if fault else answer

    def look(self, now_at: float) -> None:
        """Let lagging replicas see when the lists change: between requests, too."""
        for cluster in self.clusters.values():
            cluster.look(now_at)
            if self.fleet.counters == "lagging":
                cluster.counters.look(now_at)

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
        secret, slashes = account.secret_access_key, _SLASHES[self._dialect(params).signed_slash]
        if not any(
            matches(signature(method, path, params, secret, slash=slash), given)
            for slash in slashes
        ):
            raise RefusalError(1200, "AuthFailure, signature not matched")
        if abs(_timestamp_at(params) - now_at) > CLOCK_TOLERANCE_SECONDS:
            raise RefusalError(1300, "RequestHasExpired, timestamp is out of range")
        meter = self._meters.get(account.access_key_id)
        if meter is not None:
            meter.take(now_at)
        return account.access_key_id

    def _act(
        self,
        method: str,
        path: str,
        key: str,
        params: Mapping[str, str],
        now_at: float,
        *,
        fault: Fault | None,
    ) -> dict[str, Any]:
        zone = params.get("zone", "")
        if not zone:
            raise RefusalError(1100, "InvalidRequestFormat, missing parameter [zone]")
        own = {name: value for name, value in params.items() if name not in _COMMON_PARAMS}
        if path in FLEET_CALLS:
            check_call(path, method, {**own, "zone": zone}, self.fleet)
        elif path != JOB_LIST:
            raise RefusalError(1101, "InvalidRequestMethod, unknown action")
        if path == CLUSTERS:
            mine = [
                each
                for each in self.clusters.values()
                if each.zone == zone
                and each.access_key_id == key
                and own.get("owner") in {None, "", self.accounts[key].user_id}
            ]
            return cluster_list(mine, self.fleet, own, now_at)
        if not params.get("cluster_id"):
            raise RefusalError(1100, "InvalidRequestFormat, missing parameter [cluster_id]")
        cluster = self._hosted(params["cluster_id"])
        if cluster.zone != zone:
            raise RefusalError(2100, f"ResourceNotFound, no such cluster in zone [{zone}]")
        if cluster.access_key_id != key:
            raise RefusalError(1400, "PermissionDenied, the cluster is not yours")
        if path in FLEET_CALLS:
            return about_cluster(path, cluster, self.fleet, own)
        return cluster.answer(own, now_at, self._rng, fault)

    def _dialect(self, params: Mapping[str, str]) -> Dialect:
        """Of the cluster that is asked for, if there is one."""
        cluster = self.clusters.get(params.get("cluster_id", ""))
        return DOCUMENTED if cluster is None else cluster.dialect

    def _note(self, entry: JournalEntry) -> None:
        self.calls += 1
        self.journal.append(entry)

    def _hosted(self, cluster_id: str) -> HostedCluster:
        cluster = self.clusters.get(cluster_id)
        if cluster is None:
            raise RefusalError(2100, f"ResourceNotFound, cluster [{cluster_id}] not found")
        return cluster


def _refused(refusal: RefusalError, action: str) -> Answer:
    answer = json_answer(refusal.as_object(action), status=refusal.http_status)
    return answer if answer.status == 200 else replace(answer, headers=PROBLEM_HEADERS)


def _timestamp_at(params: Mapping[str, str]) -> float:
    try:
        return timegm(strptime(params.get("timestamp", ""), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise RefusalError(1100, "InvalidRequestFormat, [timestamp]") from None
