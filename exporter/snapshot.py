"""Frozen numbers of the clusters, and the board that holds the current ones.

A poller publishes, web threads read. Nothing on the board is ever changed: publishing replaces.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from exporter.clock import Instant
from exporter.labels import OTHER
from exporter.model import Amount, ClusterIdentity
from exporter.profile import Profile

LEAST_STALENESS_SECONDS = 300.0
STALENESS_INTERVALS = 3
"""Where the configuration does not say how long counts are served: so long, and so many intervals."""

RECENT_SECONDS = 3600.0
"""How long a (queue, user) without active jobs keeps its zeros (the metrics' contract)."""

WAIT_BUCKETS_SECONDS: tuple[float, ...] = (
    30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800,
)  # fmt: skip
"""Upper bounds of ``ehpc_job_wait_seconds`` and ``ehpc_job_run_seconds``, from 30 s to 7 d."""


class JobCount(NamedTuple):
    """How many jobs of one (status, queue, user) there are, and the cores they ask for."""

    status: str
    queue: str
    user: str
    jobs: int
    cores: int


class QueueMoment(NamedTuple):
    """A moment in one queue."""

    queue: str
    at: float


class Tally(NamedTuple):
    """A counter of transitions. ``status`` is empty for those that have none."""

    queue: str
    status: str
    total: int


class DurationTally(NamedTuple):
    """A histogram of durations. ``status`` is empty for waiting times."""

    queue: str
    status: str
    bucket_counts: tuple[int, ...]
    """One for each of ``WAIT_BUCKETS_SECONDS`` and one beyond; not cumulative."""
    sum_seconds: float


class Usage(NamedTuple):
    """What a user has added up in a queue: core seconds, or seconds waited."""

    queue: str
    user: str
    times: int
    """How many runs, or waits."""
    seconds: int


_Row = TypeVar("_Row")
Group = tuple[str, ...]
"""What rows have in common: counts their status and queue, usage its queue."""
Columns = tuple[Sequence[Any], ...]
"""The users of a group, and their numbers."""


class Grouped(Sequence[_Row]):
    """Rows in order, made of groups in columns. They take a fifth of the memory of rows, and nobody needs
    to look at each row to see what has changed: the columns of a group that is as it was are the same
    object."""

    def __init__(self, row: Callable[..., _Row], groups: Mapping[Group, Columns]) -> None:
        """None of the ``groups`` is empty."""
        self._row = row
        self.groups = groups

    def __len__(self) -> int:
        return sum(len(columns[0]) for columns in self.groups.values())

    def __iter__(self) -> Iterator[_Row]:
        for group, columns in self.groups.items():
            for values in zip(*columns, strict=True):
                yield self._row(*group, *values)

    def __getitem__(self, place: Any) -> Any:
        return tuple(self)[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


class UserGroup(NamedTuple):
    """In which group a user is."""

    user: str
    group: str


class LeftOut(NamedTuple):
    """Records that are in the list and cannot be counted."""

    reason: str
    """What they lack: ``identity``, ``status``."""
    records: int


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """What is known of one cluster's jobs at one moment. Labels are as they are to be shown:
    folded, hashed or left out, and (queue, user) pairs filled with zeros."""

    taken_at: float
    """The moment at which the counts were true."""
    counts: Sequence[JobCount]
    oldest_pending: tuple[QueueMoment, ...]
    """By queue, the submit time of the longest-waiting pending job; queues where one waits."""
    submitted: tuple[Tally, ...] = ()
    started: tuple[Tally, ...] = ()
    ended: tuple[Tally, ...] = ()
    waits: tuple[DurationTally, ...] = ()
    runs: tuple[DurationTally, ...] = ()
    core_seconds: Sequence[Usage] = ()
    user_waits: Sequence[Usage] = ()
    user_groups: tuple[UserGroup, ...] = ()
    """Of the users above; none where no groups are configured."""
    history_complete: bool = False
    history_known: int = 0
    """Jobs known, of ``history_expected`` (None while it cannot be told)."""
    history_expected: int | None = None
    folded_users: int = 0
    folded_queues: int = 0
    left_out: tuple[LeftOut, ...] = ()
    """One for each reason, 0 included."""


class QueueCapacity(NamedTuple):
    """What one queue could run; None where it is not told."""

    names: tuple[str, ...]
    """By which jobs may call it, the likeliest first."""
    cores: Amount
    gpus: Amount
    memory_bytes: Amount
    nodes: Mapping[str, int]
    """By status; empty where it is not told."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one cluster could run, and what else the calls beside job/list tell of it."""

    taken: Instant | None
    """When the oldest part of it was true; None where nothing of it was asked for."""
    served_seconds: float
    """How old it may become and still be served."""
    status: str = ""
    """The cluster's own; empty where it is not told."""
    core_hours: float | None = None
    listed_jobs: Mapping[str, int] = field(default_factory=dict)
    """By status, as the cloud counts them."""
    queues: tuple[QueueCapacity, ...] = ()
    nodes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By role and status."""

    @property
    def served_until(self) -> Instant | None:
        """When it becomes too old, by either clock; None for never."""
        if self.taken is None:
            return None
        return Instant(
            self.taken.at + self.served_seconds, self.taken.seconds + self.served_seconds
        )

    def by_queue(self, snapshot: ClusterSnapshot | None) -> dict[str, QueueCapacity]:
        """By the name that the queue has as a label of the jobs, so that they join. Pure.

        That is the first of its names under which jobs are known. Where names had to be folded, a
        queue that has no jobs under its own stands with the others.
        """
        shown = {tally.queue for tally in snapshot.submitted} if snapshot else set()
        folded = snapshot is not None and snapshot.folded_queues > 0
        found: dict[str, QueueCapacity] = {}
        for queue in self.queues:
            name = next((name for name in queue.names if name in shown), None)
            name = name or (OTHER if folded else queue.names[0])
            found[name] = together(found[name], queue) if name in found else queue
        return found


def together(one: QueueCapacity, other: QueueCapacity) -> QueueCapacity:
    """What two queues could run, as far as both tell. Pure."""
    statuses = sorted({*one.nodes, *other.nodes})
    return QueueCapacity(
        one.names,
        _sum(one.cores, other.cores),
        _sum(one.gpus, other.gpus),
        _sum(one.memory_bytes, other.memory_bytes),
        {each: one.nodes.get(each, 0) + other.nodes.get(each, 0) for each in statuses},
    )


def _sum(one: Amount, other: Amount) -> Amount:
    total, available = (
        None if None in pair else sum(value for value in pair if value is not None)
        for pair in zip(one, other, strict=True)
    )
    return Amount(total, available)


@dataclass(frozen=True, slots=True)
class SyncFailure:
    """Why the last sync failed, for people."""

    reason: str
    message: str
    advice: str
    at: float


@dataclass(frozen=True, slots=True)
class ClusterState:
    """One cluster on the board: its last good snapshot and how its syncing goes."""

    identity: ClusterIdentity
    tried: bool = False
    """Whether a sync has been tried since the start, successfully or not."""
    snapshot: ClusterSnapshot | None = None
    last_success_at: float | None = None
    failure: SyncFailure | None = None
    """Of the last sync; None if it succeeded."""
    profile: Profile = field(default_factory=Profile)
    """What the server is known to do."""
    history_obstacle: SyncFailure | None = None
    """Why the history cannot be read to its end; None if nothing is known to be in the way."""
    history_left_seconds: float = 0.0
    """About how long it takes to read the rest of it, and of the others of the account, which share the calls that are
    left for them."""
    strategy: str | None = None
    """``delta``, ``sweep``, ``scan``; None before the first good sync."""
    effective_interval_seconds: float = 0.0
    ledger_on_disk: bool | None = None
    """Whether the ledger is in its file rather than in memory for want of a disk; None where the
    configuration asks for memory, or it is not known yet."""
    staleness_wanted_seconds: float | None = None
    """How old counts may become and still be served; None: as the interval asks for."""
    taken_seconds: float | None = None
    """``snapshot.taken_at`` by the clock that nobody sets; None where that is not known."""
    capacity: Capacity | None = None
    """None where it is not known. It has a publisher of its own."""

    @property
    def up(self) -> bool:
        """Whether the last sync succeeded."""
        return self.tried and self.failure is None

    @property
    def zone_contradicted(self) -> bool:
        """Whether times cannot be in the zone that the configuration says."""
        return self.profile.zone.value == "contradicted"

    @property
    def staleness_seconds(self) -> float:
        """How old counts may become and still be served."""
        if self.staleness_wanted_seconds is not None:
            return self.staleness_wanted_seconds
        return max(LEAST_STALENESS_SECONDS, STALENESS_INTERVALS * self.effective_interval_seconds)

    @property
    def served_until(self) -> Instant | None:
        """When the counts become too old, by either clock; None while there are none. (A sync may
        succeed and show no counts, where it has to find out again what is active.)

        One clock may have been set; the other stands still while the machine sleeps."""
        if self.snapshot is None:
            return None
        seconds = float("inf") if self.taken_seconds is None else self.taken_seconds
        return Instant(
            self.snapshot.taken_at + self.staleness_seconds, seconds + self.staleness_seconds
        )

    def is_withdrawn(self, now: Instant) -> bool:
        """Whether there are counts, and they are too old to be served."""
        return _is_over(self.served_until, now)

    def capacity_withdrawn(self, now: Instant) -> bool:
        """Whether there is capacity, and it is too old to be served."""
        return self.capacity is not None and _is_over(self.capacity.served_until, now)

    def age_seconds(self, now: Instant) -> float | None:
        """How old the counts are; None where there are none."""
        until = self.served_until
        if until is None:
            return None
        return max(now.at - until.at, now.seconds - until.seconds) + self.staleness_seconds


def _is_over(until: Instant | None, now: Instant) -> bool:
    return until is not None and (now.at > until.at or now.seconds > until.seconds)


def dated(state: ClusterState, before: ClusterState | None, now: Instant) -> ClusterState:
    """A state that is being published, with the moment of its counts by the clock that nobody sets:
    the same as ``before``, if they are the same counts. Pure."""
    if state.snapshot is None:
        return state
    taken_at = state.snapshot.taken_at
    if before is not None and before.snapshot and before.snapshot.taken_at == taken_at:
        return replace(state, taken_seconds=before.taken_seconds)
    return replace(state, taken_seconds=now.seconds - max(0.0, now.at - taken_at))


class SnapshotBoard:
    """The current state of every cluster. Readers never wait: they take one reference."""

    def __init__(self) -> None:
        self._current: Mapping[str, ClusterState] = MappingProxyType({})
        self._writers = threading.Lock()

    def current(self) -> Mapping[str, ClusterState]:
        """All clusters by name, in the order in which they were first published; frozen."""
        return self._current

    def publish(self, state: ClusterState) -> None:
        """Make ``state`` the current one of its cluster, all but its capacity."""
        name = state.identity.name
        with self._writers:
            before = self._current.get(name)
            if before is not None and before.identity.remote == state.identity.remote:
                state = replace(state, capacity=before.capacity)
            self._current = MappingProxyType({**self._current, name: state})

    def publish_capacity(self, identity: ClusterIdentity, capacity: Capacity | None) -> None:
        """Make this the current capacity of a cluster, if it is on the board: a reload may have given
        its name to another one meanwhile."""
        name = identity.name
        with self._writers:
            state = self._current.get(name)
            if state is None or state.identity.remote != identity.remote:
                return
            if state.capacity != capacity:
                changed = replace(state, capacity=capacity)
                self._current = MappingProxyType({**self._current, name: changed})

    def remove(self, name: str) -> None:
        """Take a cluster off the board, as a reload does with one that left the configuration."""
        with self._writers:
            self._current = MappingProxyType(
                {key: value for key, value in self._current.items() if key != name}
            )
