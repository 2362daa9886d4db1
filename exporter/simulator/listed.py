"""The vocabulary of a job list: its jobs, its sort orders, its events."""

from enum import StrEnum
from typing import NamedTuple

END_STATUSES = frozenset({"finished", "exited", "cancelled"})


class Transition(StrEnum):
    """The kinds of change; a dialect names those that leave ``modified_time`` where it was."""

    START = "start"
    END = "end"
    CANCEL = "cancel"
    REQUEUE = "requeue"
    SUSPEND = "suspend"
    RESUME = "resume"
    EDIT = "edit"


class Order(StrEnum):
    """What a list can be sorted by, in the words of ``sort_key``."""

    MODIFIED = "modified_time"
    SUBMITTED = "submitted_time"
    STARTED = "started_time"
    JOB_ID = "job_id"
    UUID = "hpcjob_uuid"


class TieOrder(StrEnum):
    """How jobs of the same second stand to one another, whichever way the list is sorted."""

    STABLE = "stable"
    """By job id, ascending."""
    REVERSED = "reversed"
    """By job id, descending."""
    SHUFFLED = "shuffled"
    """Anew at every call."""


class ListedJob(NamedTuple):
    """One job as it stands in the list now."""

    uuid: str
    job_id: int
    status: str
    queue: str
    user: str
    cores: int
    """0 where the list shows null."""
    submitted_at: int
    started_at: int | None
    modified_at: int


class JobRow(NamedTuple):
    """A job to be loaded as it is, without a history of transitions."""

    status: str
    queue: str
    user: str
    cores: int
    submitted_at: int
    started_at: int | None
    modified_at: int


class Change(NamedTuple):
    """What has become of one job of a list."""

    at: float | None
    """As whoever made the change told it; of a deletion nobody tells."""
    number: int
    """The job's place in the list, from 0 in the order in which jobs were added."""
    row: JobRow | None
    """None if it has left the list."""


class Listing(NamedTuple):
    """One page of a list and how many jobs match its filters."""

    jobs: list[ListedJob]
    matching: int


class JobKey(NamedTuple):
    """What a plain count is by."""

    status: str
    queue: str
    user: str
