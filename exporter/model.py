"""The domain: jobs, pages of the remote list, and what can be asked of it.

Moments are Unix seconds and are named ``*_at``; durations are seconds and are named ``*_seconds``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

END_STATUSES = frozenset({"finished", "exited", "cancelled"})
"""A job in one of these statuses has ended. Any other status, known or not, may still change."""

NO_STATUS = "_no_status"
"""Of a record whose status cannot be read."""
NO_IDENTITY = "_no_identity"
"""Of a record that has no identity but its ``job_id``."""
OUT_OF_WINDOW = "_out_of_window"
"""Of an ended job that is older than the history that is wanted."""


def hidden(status: str) -> bool:
    """Whether jobs in a status are known to the ledger, and to the total, and never shown."""
    return not status or status.startswith("_")


PAGE_LIMIT = 100
"""Most jobs that one call can return (API reference, section 1)."""


class Job(NamedTuple):
    """One record of job/list: what the exporter needs of it and nothing of the user's content.

    A named tuple, not a dataclass: a page creates a hundred of them, and a ledger compares them.
    """

    uuid: str
    """``hpcjob_uuid``, the identity."""
    status: str
    """Trimmed and lower-cased; open, see ``END_STATUSES``."""
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


@dataclass(frozen=True, slots=True)
class JobListQuery:
    """What one call of job/list asks for. Absent fields are not sent."""

    offset: int = 0
    limit: int = PAGE_LIMIT
    status: str | None = None
    """``jobs_status``: only jobs in this status, if the server honours the filter."""
    sort_key: str | None = None
    descending: bool = True
    """Sent as ``reverse`` when there is a ``sort_key``."""
    filter_names: tuple[str, ...] = ("jobs_status", "job_status")
    """The names under which ``status`` is sent."""
    zone_seconds: int | None = None
    """How far times without a zone are ahead of UTC; None: in the zone of the configuration."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of job/list, decoded."""

    jobs: Sequence[Job]
    total_count: int | None
    """As the server states it, of the filter or of the whole list; None where it is missing."""
    server_time_at: float | None = None
    """The server's clock, from the ``Date`` header; None where it is missing."""
    zoneless: bool = False
    """Whether any time on it carries no zone."""


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """Which remote list is meant, in the words of the configuration."""

    name: str
    """The label ``cluster_name``; unique."""
    cluster_id: str
    zone: str
    account: str


class JobLister(Protocol):
    """The remote list of one cluster, as syncing sees it."""

    def list_jobs(self, query: JobListQuery) -> Page:
        """Ask for one page. Blocks for the call and its few retries. Raises ``ApiError``."""
        ...


@dataclass(frozen=True, slots=True)
class Pause:
    """No calls of an account until a moment, because the API said that its quota is used up."""

    until_at: float = 0.0
    times: int = 0
    """How many refusals in a row there have been; 0 when all is well."""
