"""Whatever the server's dialect, what ``/metrics`` shows equals the list, job for job."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.simulator import DIALECTS
from tests.e2e.churn import QUEUES, USERS, Churn, populate
from tests.e2e.running import Exporter, Metrics, World, config_of
from tests.waiting import until

AUDIT_SECONDS = 4
REST_TURNS = AUDIT_SECONDS + 20
"""Of one second each: the contract's audit interval, and what all dialects at once may take."""
STIRRED_CALLS = 8
"""So many calls of each cluster meet a list that has changed since the call before."""
STRATEGIES = {
    "documented": "delta",
    "sort-ignored": "sweep",
    "sort-refused": "sweep",
    "reverse-ignored": "sweep",
    "nothing-honoured": "sweep",  # its own order is that of submission
    "nothing-honoured-arbitrary": "scan",
    "nothing-honoured-total-missing": "scan",
}


@pytest.mark.parametrize(("size", "active"), [(70, 25), (800, 120)], ids=["small", "large"])
def test_metrics_equal_the_list_in_every_dialect(tmp_path: Path, size: int, active: int) -> None:
    """First as the list stood, then after changes between any two calls, once it rests."""
    names = {f'{dialect} "\\\n中': dialect for dialect in DIALECTS}
    with World() as world:
        churns = host_all(world, size, active)
        config = config_of(world.endpoint, names, audit_interval=f"{AUDIT_SECONDS}s")
        for cluster in config["clusters"]:
            if cluster["cluster_id"] == "times-local":
                cluster["timezone"] = "Asia/Shanghai"
        with Exporter(tmp_path, config) as exporter:
            exporter.until_true({name: world.truth(each) for name, each in names.items()})
            stir_between_calls(world, churns)
            truths = {name: world.truth(each) for name, each in names.items()}
            exporter.until_true(truths, turns=REST_TURNS)
            # Right counts with a wrong job in them may last until the next look.
            exporter.until_right(
                lambda metrics: wrong_active(metrics, names, world), names, turns=REST_TURNS
            )
            if size > 500:
                exporter.until_right(lambda metrics: otherwise_synced(metrics, names), names)
            exporter.until_true(truths)


def otherwise_synced(metrics: Metrics, names: Mapping[str, str]) -> dict[str, list[str]]:
    """Clusters that are not synced in the way that their server allows, and how they are."""
    used = {
        name: [
            sample.labels["strategy"]
            for sample in metrics.samples("ehpc_sync_strategy", cluster_name=name)
            if sample.value
        ]
        for name in names
    }
    return {
        name: used[name]
        for name, dialect in names.items()
        if dialect in STRATEGIES and used[name] != [STRATEGIES[dialect]]
    }


def host_all(world: World, size: int, active: int) -> dict[str, Churn]:
    """A cluster for each dialect, named after it."""
    churns: dict[str, Churn] = {}
    for number, dialect in enumerate(DIALECTS):
        hosted = world.add(dialect, dialect)
        # Three queues and four users each: together they have met every name.
        queues = [QUEUES[(number + i) % len(QUEUES)] for i in range(3)]
        users = [USERS[(number + 5 * i) % len(USERS)] for i in range(4)]
        populate(hosted.jobs, size, active=active, seed=number, queues=queues, users=users)
        churns[dialect] = Churn(hosted.jobs, seed=number, queues=queues, users=users)
    return churns


def stir_between_calls(world: World, churns: Mapping[str, Churn]) -> None:
    left = dict.fromkeys(churns, STIRRED_CALLS)

    def meddle(cluster_id: str) -> None:
        if left[cluster_id] > 0:
            left[cluster_id] -= 1
            churns[cluster_id].stir(3)

    with world.lock:
        world.simulation.meddle = meddle
    until(lambda: not any(left.values()), "all the calls that meet a change")


def wrong_active(metrics: Metrics, names: Mapping[str, str], world: World) -> list[str]:
    return [
        name
        for name, cluster_id in names.items()
        if not active_is_right(metrics, name, world, cluster_id)
    ]


def active_is_right(metrics: Metrics, name: str, world: World, cluster_id: str) -> bool:
    """Whether it shows the cores that are asked for, and who has waited longest."""
    with world.lock:
        jobs = list(world.jobs(cluster_id).jobs())
    for status in ("pending", "running"):
        cores = sum(job.cores for job in jobs if job.status == status)
        if metrics.sum("ehpc_jobs_cores", cluster_name=name, status=status) != cores:
            return False
    waiting: dict[tuple[str, ...], float] = {}
    for job in jobs:
        if job.status == "pending":
            at = waiting.get((job.queue,), job.submitted_at)
            waiting[job.queue,] = min(at, job.submitted_at)
    oldest = "ehpc_oldest_pending_submit_timestamp_seconds"
    return metrics.by(oldest, "queue", cluster_name=name) == waiting
