"""The values that a ledger takes and gives."""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from exporter.model import Job


class Change(NamedTuple):
    """What applying one record of the remote list did to the ledger."""

    old: Job | None
    """None for a job that was not known."""
    new: Job


class JobTotals(NamedTuple):
    """Jobs of one (status, queue, user), and the cores they ask for."""

    jobs: int
    cores: int


class TallyKey(NamedTuple):
    """A counter of transitions: ``kind`` is submitted, started, ended, wait or run."""

    kind: str
    queue: str
    status: str


@dataclass(slots=True)
class Tally:
    """How often, how long in all, and the distribution over the buckets of a histogram."""

    count: int = 0
    sum_seconds: float = 0.0
    buckets: list[int] = field(default_factory=list)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a ledger is known to equal the remote list. Saved with every transaction.

    The remote list, newest change first, is known without a gap from its head down to
    ``frontier_at``, and again from ``floor_at`` to its end::

        head ─── known ─── frontier_at ··· not yet read ··· floor_at ─── known ─── end
    """

    began_at: float | None = None
    """The server's time when the ledger began; what happened before is not counted as seen."""
    last_success_at: float | None = None
    """The server's time at the last sync that succeeded."""
    synced_at: float | None = None
    """The same moment by this machine's own clock."""
    newest_at: int | None = None
    """The newest ``modified_at`` known; a delta reads down to a little below it."""
    frontier_at: int | None = None
    """Every job changed after this moment is known; None before the first head page."""
    floor_at: int | None = None
    """Every job changed before this moment is known; None: none are, read to the list's end."""
    read_through: bool = False
    """Whether the history has been read down to its end; ``complete`` once that is verified."""
    complete: bool = False
    """Whether the whole history that is wanted is known."""
    active_known: bool = False
    """Whether all active jobs are known, so that their counts may be published."""
    expected: int | None = None
    """``total_count`` of the whole list, when last seen."""
    sort: str = "unknown"
    """Whether the server sorts by ``modified_time``: unknown, honoured, ignored, refused."""
    sort_by_submit: str = "unknown"
    """The same for ``submitted_time``, by which deletions are searched if it can be."""
    filters: str = "unknown"
    """Whether it filters by ``jobs_status``: unknown, honoured, ignored."""
    filters_retry_at: float = 0.0
    """When a filter that was ignored is tried again; 0 if that has never been."""
    matched: tuple[str, ...] = ()
    """The statuses for which a filter has ever shown a job."""
    totals: str = "unknown"
    """What ``total_count`` of a filtered answer counts: unknown, filtered, whole, missing."""
    totals_ignored_until_at: float = 0.0
    """Until then ``total_count`` is not listened to: it counts more than the list has."""
    totals_ignored_times: int = 0
    """How often in a row that has been found."""
    page_cap: int = 0
    """The longest page yet seen: a shorter one, then, ends a list."""
    distrusted_until_at: float = 0.0
    """Until then the sort order is not relied on, although pages look sorted."""
    distrusted_times: int = 0
    sort_retry_at: float = 0.0
    """When a sort key that was refused is tried again."""
    order_lost_at: float = 0.0
    """When an order that had been proven was last broken."""
    mismatches: int = 0
    """Syncs in a row whose ``total_count`` could not be explained."""
    audited_at: dict[str, float] = {}
    """When each audit last ran, by its name."""
    scanned_at: float = 0.0
    """When the whole list was last read from end to end."""

    @property
    def all_known(self) -> bool:
        """Whether every job that is wanted is known: the history is complete, and there is no gap
        that a time without order has left."""
        return self.complete and self.read_through
