"""Domain types: jobs, pages of the remote list, queries; clusters, queues, nodes.

Moments are Unix seconds and are named ``*_at``; durations are seconds and are named ``*_seconds``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta, timezone, tzinfo
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

END_STATUSES = frozenset({"finished", "exited", "cancelled"})
"""A job in one of these statuses has ended. Any other status, known or not, may still change."""

OTHER_STATUSES = frozenset({"stopped", "suspended", "unknown"})
"""Statuses that an active job is known to have beside pending and running; there may be more."""

NO_STATUS = "_no_status"
"""The hidden status of a record that has none."""

NO_IDENTITY = "_no_identity"
"""The hidden status of a record without an identity; its ``job_id`` takes the place of one."""

SET_ASIDE = ""
"""The hidden status of a job that has left its active status, until it is known what became of it."""

OUT_OF_WINDOW = "_out_of_window"
"""The hidden status of a job that is known to be in the list and is not wanted: too old."""


LEFT_OUT_REASONS = {NO_IDENTITY: "identity", NO_STATUS: "status"}
"""What the records lack that cannot be counted, by their hidden status."""


def hidden(status: str) -> bool:
    """Whether jobs in a status are known, to the ledger and to the total, but never published.

    Such a status is empty or begins with an underscore; none of the API's own words does, once read.
    """
    return status[:1] in ("", "_")


PAGE_LIMIT = 100
"""Most jobs that one call can return (API reference, section 1)."""


class Job(NamedTuple):
    """One record of job/list: what the exporter needs of it and nothing of the user's content.

    A named tuple, not a dataclass: a page creates a hundred of them, and a ledger compares them.
    """

    uuid: str
    """``hpcjob_uuid``, the identity."""
    status: str
    """Trimmed and lower-cased; open, see ``END_STATUSES``, and ``hidden``."""
    queue: str
    user: str
    cores: int
    """Cores requested; 0 if the list does not say."""
    submitted_at: int | None
    started_at: int | None
    modified_at: int | None
    """The last change of status; for a job that has ended, the closest thing to its end."""

    @property
    def ended(self) -> bool:
        """Whether the job is in an end status."""
        return self.status in END_STATUSES


class Purpose(IntEnum):
    """What a call is for. When the budget is short, smaller values go first."""

    FRESH = 0
    """The counts that a sync is to publish."""
    AUDIT = 1
    """Checking that the ledger equals the list."""
    HISTORY = 2
    """Reading the history between syncs."""
    CAPACITY = 3
    """Queues and nodes."""


@dataclass(frozen=True, slots=True)
class JobListQuery:
    """What one call of job/list asks for. Absent fields are not sent."""

    offset: int = 0
    limit: int = PAGE_LIMIT
    status: str | None = None
    """Only jobs in this status, if the server honours the filter."""
    sort_key: str | None = None
    descending: bool = True
    """Sent as ``reverse`` when there is a ``sort_key``."""
    filter_names: tuple[str, ...] = ("jobs_status", "job_status")
    """The names under which ``status`` is sent: sources differ, and what is unknown is ignored."""
    zone_seconds: int | None = None
    """How far times that carry no zone are ahead of UTC; None: as configured for the cluster."""

    def zone(self, configured: tzinfo) -> tzinfo:
        """The zone of times that carry none."""
        if self.zone_seconds is None:
            return configured
        return timezone(timedelta(seconds=self.zone_seconds))


class LeftOut(NamedTuple):
    """A record that is a ``Job`` of a page but cannot be counted."""

    status: str
    """Why: ``NO_STATUS`` or ``NO_IDENTITY``."""
    job_id: str
    """By which people find it; empty if it has none."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of job/list, decoded."""

    jobs: Sequence[Job]
    total_count: int | None
    """As the server states it, of the filter or of the whole list; None where it is missing."""
    server_time_at: float | None = None
    """The server's clock, from the ``Date`` header; None where it is missing."""
    zoneless: bool = False
    """Whether a time on it carries no zone, so that its meaning hangs on the zone assumed."""
    zoned: bool = False
    """Whether a time on it carries its zone."""
    bare: frozenset[str] = frozenset()
    """The jobs whose last change carries no zone; or whose submission, where that is not told."""
    left_out: tuple[LeftOut, ...] = ()
    names_cut: int = 0
    """Names (of users, queues, statuses) that were too long for a label."""


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """Which remote list is meant, in the words of the configuration."""

    name: str
    """The label ``cluster_name``; unique."""
    cluster_id: str
    zone: str
    account: str
    labels: tuple[tuple[str, str], ...] = ()
    """Of its own; every cluster has the same names."""

    @property
    def remote(self) -> tuple[str, str, str]:
        """Which cluster it is, whatever it is called here."""
        return self.account, self.zone, self.cluster_id

    def fields(self, **more: object) -> dict[str, object]:
        """The fields of a log line about the cluster."""
        return {"cluster": self.name, "account": self.account, **more}


class ListedCluster(NamedTuple):
    """One cluster of cluster/list, as far as it says; empty where it does not."""

    cluster_id: str
    name: str
    status: str
    """``active``, ``stopped``, ``suspended``; open."""
    jobs: Mapping[str, int]
    """By status, as the server counts them."""
    kind: str = ""
    """``ehpc`` or ``hpc``."""
    core_hours: float | None = None
    """Used so far."""


class Amount(NamedTuple):
    """How much there is of something in a queue; None where it is not told."""

    total: float | None = None
    available: float | None = None


class ListedQueue(NamedTuple):
    """One queue and what it could run, as far as an answer says."""

    queue_id: str
    """``hpcqueue_id``, by which it can be asked for; empty if it has none."""
    names: tuple[str, ...]
    """By which jobs may call it, the likeliest first."""
    cores: Amount
    gpus: Amount
    memory_bytes: Amount
    nodes: Mapping[str, int]
    """By status; empty where it is not told."""


class ListedNode(NamedTuple):
    """What is counted of a node. Empty where it is not told."""

    role: str
    """``login``, ``controller``, ``compute``; open."""
    status: str
    """``active``, ``stopped``, ``pending``; open."""
    queue: str
    """One of the queue's names."""


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class ListPage(Generic[Item]):
    """One answer of a call that lists something, decoded."""

    items: tuple[Item, ...]
    records: int
    """In the answer, those that can be told from no other included."""
    total_count: int | None
    """As the server states it; None where it is missing."""


@dataclass(frozen=True, slots=True)
class Pause:
    """No calls of an account until a moment, because the API said that its quota is used up."""

    until_seconds: float = 0.0
    """By the clock that nobody sets."""
    times: int = 0
    """How many refusals in a row there have been; 0 when all is well."""
