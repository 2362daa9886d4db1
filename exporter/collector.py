"""Current snapshots -> metric families. Pure: everything it reads is passed in.

Families are prometheus-client's ``Metric`` values, samples in a fixed order: clusters by name,
series by their labels. ``collect`` gives all that is known of the clusters and of the exporter;
the counters of ``exporter.telemetry`` are families already.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter, itemgetter

from prometheus_client.core import Metric as Family
from prometheus_client.core import Sample

from exporter import catalog
from exporter.clock import Instant
from exporter.model import Amount
from exporter.profile import TRAITS
from exporter.samples import Histogram, Part, Run
from exporter.snapshot import (
    ClusterSnapshot,
    ClusterState,
    Columns,
    DurationTally,
    Group,
    Grouped,
    JobCount,
    QueueCapacity,
    Tally,
    Usage,
)
from exporter.telemetry import empty_family

_WITH_CORES = frozenset({"pending", "running"})
_ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class AccountQuota:
    """What this exporter may spend of an account's quota in the sliding window, and has spent."""

    account: str
    allowed: float
    used: float
    on_disk: bool | None = None
    """Whether its calls are written down; None where they are not meant to be."""


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """Which exporter this is."""

    version: str
    revision: str
    """Of the sources; empty where it is not known."""
    python_version: str


@dataclass(frozen=True, slots=True)
class ReloadStatus:
    """How loading the configuration went, the first load included."""

    successful: bool
    """Of the last attempt."""
    success_at: float
    """When it last went well."""
    groups_good: bool | None = None
    """Whether the groups in use are those of their file; None where there is none."""


def collect(
    states: Mapping[str, ClusterState],
    accounts: Sequence[AccountQuota],
    build: BuildInfo,
    reload: ReloadStatus,
    *,
    now: Instant,
) -> list[Family]:
    """All families of the clusters and of the exporter as they are now."""
    families = [new_family(metric) for metric in CLUSTER_METRICS]
    for name in sorted(states):
        state = states[name]
        withdrawn = withdrawn_names(state, now)
        for family, part in zip(families, cluster_families(state), strict=True):
            if family.name not in withdrawn:
                family.samples += part.samples
    return families + exporter_families(accounts, build, reload)


def cluster_families(state: ClusterState) -> list[Family]:
    """One cluster's share of each family, one for each of ``CLUSTER_METRICS``; none withdrawn."""
    return [
        new_family(metric, chain.from_iterable(map(_samples_of, parts)))
        for metric, parts in zip(CLUSTER_METRICS, cluster_parts(state), strict=True)
    ]


def _samples_of(part: Part) -> Iterable[Sample]:
    return (part,) if isinstance(part, Sample) else part.samples()


def cluster_parts(state: ClusterState) -> Iterator[Iterator[Part]]:
    """The same shares without the families, for those who render as they go."""
    return (samples(metric, state) for metric, samples in _CLUSTER_SAMPLES.items())


def exporter_families(
    accounts: Sequence[AccountQuota], build: BuildInfo, reload: ReloadStatus
) -> list[Family]:
    """The families that belong to no cluster, telemetry's apart."""
    values: dict[catalog.Metric, list[tuple[tuple[str, ...], float]]] = {
        catalog.API_QUOTA_REQUESTS: [((quota.account,), quota.allowed) for quota in accounts],
        catalog.API_QUOTA_USED: [((quota.account,), quota.used) for quota in accounts],
        catalog.BUDGET_ON_DISK: [
            ((quota.account,), quota.on_disk) for quota in accounts if quota.on_disk is not None
        ],
        catalog.BUILD_INFO: [((build.version, build.revision, build.python_version), 1)],
        catalog.RELOAD_SUCCESSFUL: [((), reload.successful)],
        catalog.RELOAD_SUCCESS_TIMESTAMP: [((), reload.success_at)],
        catalog.GROUPS_SUCCESSFUL: [] if reload.groups_good is None else [((), reload.groups_good)],
    }
    return [new_family(metric, _plain(metric, rows)) for metric, rows in values.items()]


def new_family(metric: catalog.Metric, samples: Iterable[Sample] = ()) -> Family:
    """The metric of the catalog as an empty or filled family."""
    family = empty_family(metric)
    family.samples.extend(samples)
    return family


_Samples = Callable[[catalog.Metric, ClusterState], Iterator[Part]]
"""One cluster's share of a family."""


def _plain(
    metric: catalog.Metric, rows: Iterable[tuple[tuple[str, ...], float]]
) -> Iterator[Sample]:
    for values, value in rows:
        yield Sample(metric.name, dict(zip(metric.labels, values, strict=True)), float(value))


def _groups(rows: Sequence[JobCount | Usage], alike: int) -> Mapping[Group, Columns]:
    """Rows, in order, by what stands in so many of their first places."""
    if isinstance(rows, Grouped):
        return rows.groups
    return {
        group: tuple(zip(*(row[alike:] for row in of_group), strict=True))
        for group, of_group in groupby(sorted(rows), itemgetter(slice(alike)))
    }


def _counts(number: int, statuses: Collection[str] = ()) -> _Samples:
    """One of the numbers of each count, a run for each status and queue; of these statuses only, if any
    are named."""

    def runs(metric: catalog.Metric, state: ClusterState) -> Iterator[Run]:
        groups = _groups(state.snapshot.counts, 2) if state.snapshot else {}
        for (status, queue), of_users in groups.items():
            if not statuses or status in statuses:
                labels = {
                    "cluster_name": state.identity.name, "status": status, "queue": queue
                }  # fmt: skip
                yield Run((metric.name,), labels, "user", (of_users[0], of_users[number]))

    return runs


_JOBS, _CORES = 1, 2
"""Behind the user."""


def _oldest_pending(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    moments = sorted(state.snapshot.oldest_pending) if state.snapshot else ()
    return _plain(metric, (((state.identity.name, m.queue), m.at) for m in moments))


def _tallies(tallies_of: Callable[[ClusterSnapshot], Sequence[Tally]]) -> _Samples:
    """A counter of each queue, and of each of its statuses if the metric has some."""

    def runs(metric: catalog.Metric, state: ClusterState) -> Iterator[Run]:
        tallies = tuple(sorted(tallies_of(state.snapshot))) if state.snapshot else ()
        names, cluster = (metric.name,), {"cluster_name": state.identity.name}
        if "status" not in metric.labels:
            totals = tuple(tally.total for tally in tallies)
            yield Run(names, cluster, "queue", (tuple(tally.queue for tally in tallies), totals))
            return
        for queue, of_queue in groupby(tallies, attrgetter("queue")):
            _, statuses, totals = zip(*of_queue, strict=True)
            yield Run(names, {**cluster, "queue": queue}, "status", (statuses, totals))

    return runs


def _durations(tallies_of: Callable[[ClusterSnapshot], Sequence[DurationTally]]) -> _Samples:
    """A histogram of each queue, and status if there is one."""

    def histograms(metric: catalog.Metric, state: ClusterState) -> Iterator[Histogram]:
        for tally in sorted(tallies_of(state.snapshot)) if state.snapshot else ():
            labels = {"cluster_name": state.identity.name, "queue": tally.queue}
            if "status" in metric.labels:
                labels["status"] = tally.status
            yield Histogram(metric.name, labels, tally)

    return histograms


def _usage(
    rows_of: Callable[[ClusterSnapshot], Sequence[Usage]], endings: Mapping[str, int]
) -> _Samples:
    """What the users of each queue have added up, a run for each queue; by the ending of a sample's
    name, the place of its number."""

    def runs(metric: catalog.Metric, state: ClusterState) -> Iterator[Run]:
        names = tuple(metric.name + ending for ending in endings)
        groups = _groups(rows_of(state.snapshot), 1) if state.snapshot else {}
        for (queue,), of_users in groups.items():
            labels = {"cluster_name": state.identity.name, "queue": queue}
            columns = (of_users[0], *(of_users[place] for place in endings.values()))
            yield Run(names, labels, "user", columns)

    return runs


_TIMES, _SECONDS = 1, 2
"""Behind the user."""


def _info(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    who = state.identity
    values = (who.name, who.cluster_id, who.zone, who.account)
    yield Sample(metric.name, dict(zip(metric.labels, values, strict=True)) | dict(who.labels), 1.0)


def _user_groups(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    groups = state.snapshot.user_groups if state.snapshot else ()
    return _plain(metric, [((state.identity.name, *each), 1) for each in groups])


def _strategies(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    rows = [((state.identity.name, s), s == state.strategy) for s in catalog.STRATEGIES]
    return _plain(metric, rows)


def _traits(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    rows = [(name, getattr(state.profile, name).value) for name in sorted(TRAITS)]
    return _plain(metric, [((state.identity.name, *row), 1) for row in rows])


def _left_out(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    left_out = state.snapshot.left_out if state.snapshot else ()
    return _plain(metric, [((state.identity.name, reason), n) for reason, n in left_out])


def _folded(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    snapshot = state.snapshot
    if snapshot is None:
        return iter(())
    counts = {"queue": snapshot.folded_queues, "user": snapshot.folded_users}
    return _plain(metric, [((state.identity.name, what), n) for what, n in counts.items()])


def _amount(amount_of: Callable[[QueueCapacity], Amount], place: int) -> _Samples:
    """A number of each queue: the total, or, at place 1, what of it is available."""

    def samples(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
        rows = ((queue, amount_of(capacity)[place]) for queue, capacity in _queues(state))
        told = [((state.identity.name, queue), value) for queue, value in rows if value is not None]
        return _plain(metric, told)

    return samples


def _queues(state: ClusterState) -> list[tuple[str, QueueCapacity]]:
    return sorted(state.capacity.by_queue(state.snapshot).items()) if state.capacity else []


def _queue_nodes(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    rows = [
        ((state.identity.name, queue, status), nodes)
        for queue, capacity in _queues(state)
        if capacity.nodes
        for status, nodes in sorted({_ACTIVE: 0, **capacity.nodes}.items())
    ]
    return _plain(metric, rows)


def _nodes(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    nodes = state.capacity.nodes if state.capacity else {}
    return _plain(metric, [((state.identity.name, *key), n) for key, n in sorted(nodes.items())])


def _cluster_status(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    status = state.capacity.status if state.capacity else ""
    return _plain(metric, [((state.identity.name, status), 1)] if status else ())


def _listed_jobs(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
    listed = state.capacity.listed_jobs if state.capacity else {}
    return _plain(metric, [((state.identity.name, key), n) for key, n in sorted(listed.items())])


def _capacity_at(state: ClusterState) -> float | None:
    taken = state.capacity.taken if state.capacity else None
    return None if taken is None else taken.at


def _single(value_of: Callable[[ClusterState], float | None]) -> _Samples:
    """A gauge with no further labels; absent where there is no value."""

    def samples(metric: catalog.Metric, state: ClusterState) -> Iterator[Sample]:
        value = value_of(state)
        return _plain(metric, () if value is None else [((state.identity.name,), value)])

    return samples


_CLUSTER_SAMPLES: Mapping[catalog.Metric, _Samples] = {
    catalog.JOBS: _counts(_JOBS),
    catalog.JOBS_CORES: _counts(_CORES, _WITH_CORES),
    catalog.OLDEST_PENDING: _oldest_pending,
    catalog.JOB_WAIT: _durations(lambda snapshot: snapshot.waits),
    catalog.JOB_RUN: _durations(lambda snapshot: snapshot.runs),
    catalog.JOBS_SUBMITTED: _tallies(lambda snapshot: snapshot.submitted),
    catalog.JOBS_STARTED: _tallies(lambda snapshot: snapshot.started),
    catalog.JOBS_ENDED: _tallies(lambda snapshot: snapshot.ended),
    catalog.JOB_CORE_SECONDS: _usage(lambda s: s.core_seconds, {"": _SECONDS}),
    catalog.USER_WAIT: _usage(lambda s: s.user_waits, {"_count": _TIMES, "_sum": _SECONDS}),
    catalog.QUEUE_CORES: _amount(lambda queue: queue.cores, 0),
    catalog.QUEUE_CORES_AVAILABLE: _amount(lambda queue: queue.cores, 1),
    catalog.QUEUE_GPUS: _amount(lambda queue: queue.gpus, 0),
    catalog.QUEUE_GPUS_AVAILABLE: _amount(lambda queue: queue.gpus, 1),
    catalog.QUEUE_MEMORY: _amount(lambda queue: queue.memory_bytes, 0),
    catalog.QUEUE_MEMORY_AVAILABLE: _amount(lambda queue: queue.memory_bytes, 1),
    catalog.QUEUE_NODES: _queue_nodes,
    catalog.NODES: _nodes,
    catalog.CLUSTER_STATUS: _cluster_status,
    catalog.CLUSTER_CORE_HOURS: _single(lambda s: s.capacity.core_hours if s.capacity else None),
    catalog.CLUSTER_LISTED_JOBS: _listed_jobs,
    catalog.CAPACITY_TIMESTAMP: _single(_capacity_at),
    catalog.CLUSTER_INFO: _info,
    catalog.USER_INFO: _user_groups,
    catalog.SERVER_TRAIT: _traits,
    catalog.UP: _single(lambda s: s.up),
    catalog.SNAPSHOT_TIMESTAMP: _single(lambda s: s.snapshot.taken_at if s.snapshot else None),
    catalog.LAST_SYNC_SUCCESS: _single(lambda s: s.last_success_at),
    catalog.SYNC_STRATEGY: _strategies,
    catalog.HISTORY_COMPLETE: _single(lambda s: bool(s.snapshot and s.snapshot.history_complete)),
    catalog.HISTORY_KNOWN: _single(lambda s: s.snapshot.history_known if s.snapshot else None),
    catalog.HISTORY_EXPECTED: _single(
        lambda s: s.snapshot.history_expected if s.snapshot else None
    ),
    catalog.EFFECTIVE_INTERVAL: _single(lambda s: s.effective_interval_seconds),
    catalog.LEDGER_ON_DISK: _single(lambda s: s.ledger_on_disk),
    catalog.LABEL_VALUES_FOLDED: _folded,
    catalog.RECORDS_LEFT_OUT: _left_out,
}

CLUSTER_METRICS: tuple[catalog.Metric, ...] = tuple(_CLUSTER_SAMPLES)
"""The families that have a share of each cluster, in the order in which they are exposed."""

JOB_GAUGES = frozenset(metric.name for metric in catalog.JOB_GAUGES)
CAPACITY_GAUGES = frozenset(metric.name for metric in catalog.CAPACITY_GAUGES)


def withdrawn_names(state: ClusterState, now: Instant) -> frozenset[str]:
    """The families that have no share of a cluster, because what it was is too long ago."""
    jobs = JOB_GAUGES if state.is_withdrawn(now) else frozenset[str]()
    return jobs | CAPACITY_GAUGES if state.capacity_withdrawn(now) else jobs


def expiries(state: ClusterState) -> list[Instant]:
    """When families of a cluster are to be withdrawn."""
    until = (state.served_until, state.capacity.served_until if state.capacity else None)
    return [each for each in until if each is not None]
