"""A cloud, its world and the world's time in one object, with access to the true numbers."""

import threading
from collections import Counter
from typing import Any

from exporter.simulator.answers import Answer
from exporter.simulator.engine import World
from exporter.simulator.joblist import JobList
from exporter.simulator.protocol import Cloud
from exporter.simulator.worldclock import WorldClock


class Simulation:
    """What a server serves. Hold ``lock`` to touch the cloud or its job lists beside it."""

    def __init__(
        self, cloud: Cloud, *, world: World | None = None, clock: WorldClock | None = None
    ) -> None:
        """Without a world, nothing happens to the job lists but what the caller does to them."""
        self.cloud = cloud
        self.world = world
        self.clock = clock or WorldClock(real_at=0.0, world_at=0.0, speed=1.0)
        self.lock = threading.RLock()

    def handle(self, method: str, path: str, raw_query: str, server_at: float) -> Answer:
        """One request of the API at the server's own time."""
        with self.lock:
            return self.cloud.handle(method, path, raw_query, server_at)

    def advance(self, real_at: float) -> None:
        """Let the world catch up with its time."""
        if self.world is not None:
            with self.lock:
                self.world.advance_to(self.clock.world_at(real_at))

    def look(self, server_at: float) -> None:
        """Let the cloud see what has changed by now."""
        with self.lock:
            self.cloud.look(server_at)

    def truth(self) -> dict[str, dict[str, Any]]:
        """By cluster id, what ``plain_truth`` says of its list."""
        with self.lock:
            return {
                cluster_id: plain_truth(cluster.jobs)
                for cluster_id, cluster in self.cloud.clusters.items()
            }


def plain_truth(jobs: JobList) -> dict[str, Any]:
    """The numbers of a list by a plain loop over its records, independent of how it is queried."""
    counts: Counter[tuple[str, str, str]] = Counter()
    cores: Counter[tuple[str, str, str]] = Counter()
    oldest: dict[str, int] = {}
    for job in jobs.jobs():
        key = (job.status, job.queue, job.user)
        counts[key] += 1
        cores[key] += job.cores
        if job.status == "pending":
            oldest[job.queue] = min(oldest.get(job.queue, job.submitted_at), job.submitted_at)
    sums: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())
    for key, count in counts.items():
        for by_name, name in zip(sums, key, strict=True):
            by_name[name] += count
    by_status, by_queue, by_user = (dict(sorted(by_name.items())) for by_name in sums)
    return {
        "jobs": counts.total(),
        "by_status": by_status,
        "by_queue": by_queue,
        "by_user": by_user,
        "oldest_pending": dict(sorted(oldest.items())),
        "counts": [
            {
                "status": key[0],
                "queue": key[1],
                "user": key[2],
                "jobs": counts[key],
                "cores": cores[key],
            }
            for key in sorted(counts)
        ],
    }
