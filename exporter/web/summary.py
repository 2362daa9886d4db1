"""Cluster states -> what people want to know at a glance. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from exporter.clock import Instant
from exporter.snapshot import Capacity, ClusterSnapshot, ClusterState


class Health(Enum):
    """How a cluster is doing; the worst first."""

    DOWN = "down"
    """There are no counts, or too old ones to be shown."""
    FAILING = "failing"
    """The last sync failed; the counts before are still shown."""
    STARTING = "starting"
    PARTIAL = "partial"
    """Well, and the history cannot be read to its end."""
    FILLING = "filling"
    """Well, and the history is on its way."""
    WELL = "well"

    @property
    def needs_attention(self) -> bool:
        """Whether somebody should have a look."""
        return self in {Health.DOWN, Health.FAILING}


@dataclass(frozen=True, slots=True)
class Counts:
    """What waits and what runs."""

    pending: int
    running: int
    cores_waiting: int
    oldest_pending_at: float | None
    """None when no job waits, or it is not known since when."""


@dataclass(frozen=True, slots=True)
class Cores:
    """What a cluster could run, as far as its queues tell."""

    total: int
    free: int | None
    """None where not every queue tells it."""


@dataclass(frozen=True, slots=True)
class ClusterSummary:
    """One cluster at a glance."""

    state: ClusterState
    health: Health
    counts: Counts | None
    """None where there are none to be shown."""
    cores: Cores | None = None
    status: str = ""
    """The cluster's own, where it is told and is not active."""

    @property
    def needs_attention(self) -> bool:
        """Whether somebody should have a look: at the cluster, the disk of its ledger, its zone."""
        wrong = self.state.ledger_on_disk is False or self.state.zone_contradicted
        return self.health.needs_attention or wrong


@dataclass(frozen=True, slots=True)
class Standing:
    """How all clusters together are doing."""

    health: Health
    all: int
    bad: int
    """Those that need attention."""
    starting: int

    @classmethod
    def of(cls, summaries: Sequence[ClusterSummary]) -> "Standing":
        """Of all summaries, in their order."""
        bad = sum(summary.needs_attention for summary in summaries)
        starting = sum(summary.health is Health.STARTING for summary in summaries)
        health = Health.WELL
        if bad:
            worst = summaries[0].health
            health = worst if worst.needs_attention else Health.FAILING
        elif starting or not summaries:
            health = Health.STARTING
        return cls(health, len(summaries), bad, starting)


@dataclass(frozen=True, slots=True)
class Totals:
    """What waits and what runs, several clusters together."""

    pending: int
    running: int
    cores_waiting: int
    oldest_pending_at: float | None
    without: int
    """Clusters that have no counts, and so are not in the sums."""


class FoundClusters(NamedTuple):
    """Clusters that discovery has found, of which the same becomes."""

    outcome: str
    """A word of ``daemon.sightings.Outcome``."""
    names: Sequence[str]


class FoundZone(NamedTuple):
    """What discovery has found in a zone."""

    account: str
    zone: str
    groups: Sequence[FoundClusters]
    failure: str = ""
    """Why it could not be listed when it was last tried; empty if it could."""
    listed: bool = True
    """Whether it has ever been listed."""


def totals(summaries: Sequence[ClusterSummary]) -> Totals:
    """Add up clusters."""
    counts = [each.counts for each in summaries if each.counts is not None]
    return Totals(
        sum(each.pending for each in counts),
        sum(each.running for each in counts),
        sum(each.cores_waiting for each in counts),
        min((each.oldest_pending_at for each in counts if each.oldest_pending_at), default=None),
        len(summaries) - len(counts),
    )


def summarize(
    states: Mapping[str, ClusterState],
    count_of: Callable[[ClusterState, ClusterSnapshot], Counts],
    now: Instant,
) -> list[ClusterSummary]:
    """All clusters, those that need attention first, then by health and by name.

    ``count_of`` gives ``count`` of a cluster's snapshot, from a memory perhaps.
    """
    order = {health: rank for rank, health in enumerate(Health)}
    summaries = []
    for state in states.values():
        withdrawn = state.is_withdrawn(now)
        snapshot = None if withdrawn else state.snapshot
        counts = None if snapshot is None else count_of(state, snapshot)
        health = _health(state, withdrawn=withdrawn)
        capacity = None if state.capacity_withdrawn(now) else state.capacity
        summaries.append(ClusterSummary(state, health, counts, _cores(capacity), _status(capacity)))
    return sorted(
        summaries, key=lambda s: (not s.needs_attention, order[s.health], s.state.identity.name)
    )


def count(snapshot: ClusterSnapshot) -> Counts:
    """Add up a snapshot."""
    pending = running = cores_waiting = 0
    for row in snapshot.counts:
        if row.status == "pending":
            pending += row.jobs
            cores_waiting += row.cores
        elif row.status == "running":
            running += row.jobs
    oldest = min((moment.at for moment in snapshot.oldest_pending), default=None)
    return Counts(pending, running, cores_waiting, oldest)


def _cores(capacity: Capacity | None) -> Cores | None:
    rooms = [queue.cores for queue in capacity.queues] if capacity else []
    told = [room for room in rooms if room.total is not None]
    if not told:
        return None
    free = [room.available for room in told if room.available is not None]
    total = round(sum(room.total or 0.0 for room in told))
    return Cores(total, round(sum(free)) if len(free) == len(told) else None)


def _status(capacity: Capacity | None) -> str:
    return capacity.status if capacity and capacity.status != "active" else ""


def _health(state: ClusterState, *, withdrawn: bool) -> Health:
    if not state.tried:
        return Health.STARTING
    if withdrawn or state.snapshot is None:
        return Health.DOWN
    if not state.up:
        return Health.FAILING
    if state.snapshot.history_complete:
        return Health.WELL
    return Health.FILLING if state.history_obstacle is None else Health.PARTIAL
