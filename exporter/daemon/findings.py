"""What ``doctor`` has found out about an account's server, and what follows from it. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from exporter.api.fleet import HPC
from exporter.api.shape import Shape
from exporter.config import AccountConfig, ClusterConfig, CollectionConfig
from exporter.model import END_STATUSES, PAGE_LIMIT, ListedCluster, hidden
from exporter.profile import NONE, TRAITS, UNKNOWN, Profile
from exporter.snapshot import Capacity, QueueCapacity

HOUR_SECONDS = 3600.0
KEPT_FOR_HISTORY = 0.1
"""The part of what an account may spend that its syncs leave to the history at least."""
SWEPT_STATUSES = ("pending", "running")

ABOUT_ONE_CALL = frozenset(
    {"request", "client", "denied", "not_found", "resource", "internal", "payload", "http_4xx"}
)
"""Reasons for which another call may well succeed; the rest concerns the account as a whole."""

Strategy = Literal["delta", "sweep", "scan"]
KeysVerdict = Literal["accepted", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that went wrong, with what to do about it."""

    clusters: tuple[str, ...]
    """The names of those that it concerns; none for the account."""
    reason: str
    message: str
    advice: str
    ret_code: int | None = None
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One page: what was asked for, and what came."""

    status: str | None
    """The status that was asked for."""
    jobs: int
    told: int | None
    """``total_count`` as it came."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the answers of one call took, and how large they are."""

    path: str
    calls: int
    median_seconds: float
    most_seconds: float
    most_bytes: int


Call = Literal["status", "queues", "queue", "nodes"]
"""A word for each: what cluster/list tells of a cluster, getQueueList or getCurrentQueue, describeQueue,
listNodes."""
CALL_NAMES: Mapping[Call, str] = {
    "status": "cluster/list",
    "queues": "getQueueList",
    "queue": "describeQueue",
    "nodes": "listNodes",
}
"""As the cloud's documentation calls them, of an E-HPC cluster."""
Outcome = Literal["answered", "denied", "not_known", "failed", "not_asked"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call."""

    outcome: Outcome
    reason: str = ""
    """The outcome of a call that failed."""


@dataclass(frozen=True, slots=True)
class CapacityFindings:
    """What was found of one cluster's capacity."""

    answers: Mapping[Call, Answer]
    capacity: Capacity | None
    """None where the cloud reports nothing."""
    calls: int = 0
    kind: str = ""
    """Of the cluster: the queues of an HPC cluster are asked for by another call."""

    def name_of(self, call: Call) -> str:
        """As the cloud's documentation calls it."""
        return "getCurrentQueue" if (call, self.kind) == ("queues", HPC) else CALL_NAMES[call]

    @property
    def queues(self) -> tuple[QueueCapacity, ...]:
        """As far as the cloud or the configuration tells of them."""
        return self.capacity.queues if self.capacity else ()

    def calls_with(self, outcome: Outcome) -> list[Call]:
        """The calls of which this came."""
        return [call for call, answer in self.answers.items() if answer.outcome == outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFindings:
    """What was found of one cluster."""

    config: ClusterConfig
    profile: Profile = field(default_factory=Profile)
    calls: int = 0
    finished: bool = False
    """Whether everything was examined; if not, the calls ran out."""
    one_page: bool = False
    """Whether its list is one page: then nothing hangs on the other traits, and they are not
    asked for."""
    total: int | None = None
    """How many jobs the list has."""
    active_known: bool = False
    jobs: Mapping[str, int] = field(default_factory=dict)
    """By status, of those that were read."""
    asked: tuple[Asked, ...] = ()
    shape: Shape | None = None
    """Of its pages."""
    left_out: int = 0
    """Records that cannot be counted, for want of a status or an identity."""
    refusals: tuple[int, ...] = ()
    """Codes with which requests were refused."""
    listed: ListedCluster | None = None
    """As cluster/list shows it."""
    capacity: CapacityFindings | None = None
    """None where it was not asked for."""
    failure: Failure | None = None

    @property
    def traits(self) -> dict[str, str]:
        """By name, what was found."""
        return {name: getattr(self.profile, name).value for name in TRAITS}

    @property
    def active(self) -> dict[str, int | None]:
        """How many jobs are pending and running, where anything tells."""
        return {status: self._count(status) for status in SWEPT_STATUSES}

    def longest_page(self, *, filtered: bool) -> int:
        """The most jobs that an answer held, with a status asked for or without."""
        return max((a.jobs for a in self.asked if (a.status is not None) is filtered), default=0)

    def _count(self, status: str) -> int | None:
        if self.active_known or self.one_page:
            return self.jobs.get(status, 0)
        told = [a.told for a in self.asked if a.status == status and a.told is not None]
        of_filter = self.traits["status_filter"] != NONE and self.traits["total_count"] != "cluster"
        if told and of_filter and told[-1] != self.total:
            return told[-1]
        return self.listed.jobs.get(status) if self.listed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found of one account, and its clusters."""

    account: AccountConfig
    collection: CollectionConfig
    calls: int
    most_calls: int
    keys: KeysVerdict
    clock_off_seconds: float | None
    """How far this machine's clock is ahead of the server's, where an answer tells."""
    timings: tuple[Timing, ...]
    quota_headers: tuple[tuple[str, str], ...]
    """As they came last."""
    listed: tuple[ListedCluster, ...] | None
    """What cluster/list shows; None if it does not answer."""
    list_shape: Shape | None
    list_failure: Failure | None
    clusters: tuple[ClusterFindings, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class ClusterCost:
    """What syncing one cluster will cost, if its server keeps behaving as it did."""

    strategy: Strategy
    calls_a_sync: int
    calls_an_hour: float
    at_least: bool
    """Whether it may be more, because not everything that decides it is known."""
    history_calls: int | None
    """To read the history, once; None where its length is not known."""


@dataclass(frozen=True, slots=True)
class AccountCost:
    """What syncing all of an account's clusters will cost."""

    calls_an_hour: float
    allowed_an_hour: float
    stretch: float
    """How many times longer the intervals become, so that they do not exceed the share."""
    history_hours: float | None
    """Until the history is complete; None where its length is not known."""


def cost_of(found: ClusterFindings, collection: CollectionConfig) -> ClusterCost:
    """What one cluster will cost."""
    strategy, sync_calls, at_least = _sync_cost(found)
    audit_calls = 1
    if strategy == "sweep" and found.traits["order"] in (NONE, UNKNOWN):
        audit_calls = pages_of(found.total, found)
    elif strategy == "scan" or found.one_page:
        audit_calls = 0
    an_hour = HOUR_SECONDS * (
        sync_calls / found.config.interval_seconds + audit_calls / collection.audit_interval_seconds
    )
    history_calls = None if found.total is None else pages_of(found.total, found)
    if found.one_page or collection.history_seconds == 0 or strategy == "scan":
        history_calls = 0
    return ClusterCost(strategy, sync_calls, an_hour, at_least, history_calls)


def cost_of_all(found: Findings) -> AccountCost:
    """What all clusters of the account will cost together."""
    costs = [cost_of(each, found.collection) for each in found.clusters if each.finished]
    allowed = found.account.calls_per_hour
    wanted = sum(cost.calls_an_hour for cost in costs)
    most = allowed * (1 - KEPT_FOR_HISTORY)
    history = [cost.history_calls for cost in costs if cost.history_calls is not None]
    hours = None
    if costs and len(history) == len(found.clusters):
        hours = sum(history) / (allowed - min(wanted, most))
    return AccountCost(wanted, allowed, max(1.0, wanted / most), hours)


def pages_of(jobs: int | None, found: ClusterFindings) -> int:
    """Calls to read so many jobs, about: pages overlap by one job."""
    size = found.traits["page_size"]
    page = min(PAGE_LIMIT, int(size)) if size.isdigit() else PAGE_LIMIT
    return max(1, math.ceil((jobs or 0) / max(1, page - 1)))


def _sync_cost(found: ClusterFindings) -> tuple[Strategy, int, bool]:
    """The way of syncing that the profile allows, its calls, and whether they may be more."""
    traits = found.traits
    order, total = traits["order"], found.total
    if found.one_page:
        return "delta", 1, False
    told = traits["total_count"] != NONE
    if told and order in ("change", "change_only"):
        return "delta", 1, False
    counts = list(found.active.values())
    swept = 1 + sum(pages_of(count, found) for count in counts)
    whole = pages_of(total, found)
    if traits["status_filter"] not in (NONE, UNKNOWN) or (
        told and order in ("submission", "default")
    ):
        return "sweep", min(swept, whole), None in counts
    return "scan", whole, total is None


def read_jobs(totals: Mapping[tuple[str, str, str], int]) -> dict[str, int]:
    """Jobs by status, of those by status, queue and user; hidden ones left out."""
    jobs: dict[str, int] = {}
    for (status, _, _), count in sorted(totals.items()):
        if count and not hidden(status):
            jobs[status] = jobs.get(status, 0) + count
    return jobs


def all_jobs(found: ClusterFindings) -> dict[str, int]:
    """Jobs by status, those that were not read among the ended ones in the same proportion."""
    jobs = dict(found.jobs)
    for status, count in found.active.items():
        if count is not None and count > jobs.get(status, 0):
            jobs[status] = count
    unread = (found.total or 0) - sum(jobs.values())
    ended = {status: count for status, count in jobs.items() if status in END_STATUSES}
    known = sum(ended.values())
    if unread <= 0:
        return jobs
    for status, count in ended.items():
        jobs[status] += unread * count // known
    jobs["finished"] = jobs.get("finished", 0) + (found.total or 0) - sum(jobs.values())
    return jobs


def once_each(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    """What several clusters have failed for, once, in the words of the first."""
    together: dict[tuple[str, int | None], Failure] = {}
    for each in failures:
        before = together.get((each.reason, each.ret_code))
        if before is not None:
            each = replace(before, clusters=before.clusters + each.clusters)  # noqa: PLW2901
        together[each.reason, each.ret_code] = each
    return tuple(together.values())
