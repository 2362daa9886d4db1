"""Whoever reads each publication sees every counter at 0 before it counts, and no event is lost."""

from collections import defaultdict
from pathlib import Path

import pytest

from exporter.simulator import DIALECTS, JobList, fill
from exporter.snapshot import ClusterSnapshot
from tests.unit.polling.polled import PolledCluster
from tests.unit.sync.simulated import START_AT, SimulatedCluster

Series = tuple[str, str, str]


def counters(snapshot: ClusterSnapshot) -> dict[Series, int]:
    """Every counter and histogram, by its kind, queue and status."""
    found: dict[Series, int] = {}
    for kind in ("submitted", "started", "ended"):
        found |= {(kind, t.queue, t.status): t.total for t in getattr(snapshot, kind)}
    for kind in ("waits", "runs"):
        found |= {(kind, t.queue, t.status): sum(t.bucket_counts) for t in getattr(snapshot, kind)}
    return found


@pytest.mark.parametrize(
    "dialect", ["documented", "sort-by-submitted-only", "sort-ignored", "nothing-honoured"]
)
def test_of_queues_that_come_with_their_first_jobs_too(dialect: str, tmp_path: Path) -> None:
    listed = JobList()
    fill(listed, 150, active=20, now_at=START_AT - 5)
    cluster = SimulatedCluster(DIALECTS[dialect], jobs=listed)
    cloud = PolledCluster(cluster, path=tmp_path / "one.ledger")
    statuses = ("finished", "exited", "cancelled")
    for turn in range(12):
        cloud.run(60)
        at = int(cloud.clock.now)
        for status in statuses:
            uuid = listed.submit(at - 40, queue=f"queue {turn}", user="u")
            listed.start(uuid, at - 30)
            listed.end(uuid, at - 20, status)
        if turn % 3:
            cloud.poller = cloud.new_poller()  # as after a restart
    cloud.run(1800)
    series: defaultdict[Series, list[int]] = defaultdict(list)
    for state in cloud.published:
        if state.snapshot is not None:
            for key, total in counters(state.snapshot).items():
                series[key].append(total)
    assert {totals[0] for totals in series.values()} == {0}
    assert all(totals == sorted(totals) for totals in series.values())
    for turn in range(12):
        queue = f"queue {turn}"
        assert series["submitted", queue, ""][-1] == len(statuses)
        assert [series["ended", queue, status][-1] for status in statuses] == [1, 1, 1]
        assert [series["runs", queue, status][-1] for status in statuses] == [1, 1, 1]
