"""A cluster's hardware: its queues and nodes, its state, and how it counts its jobs."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from exporter.simulator.joblist import JobList

NODE_CORES = 32
"""Of a compute node; the last of a queue may have fewer in use."""
LAG_SECONDS = 60
"""By which counters that lag are behind."""

_GB_PER_CORE = 4
_END_STATUSES = ("finished", "exited", "cancelled")
_SUSPENDED = ("suspended", "stopped")

Counting = Literal["live", "lagging", "still", "otherwise"]


@dataclass(slots=True)
class Node:
    """One node."""

    name: str
    role: str
    status: str = "active"
    queue: str = ""


@dataclass(slots=True)
class Queue:
    """One queue and what it can run."""

    name: str
    cores: int
    gpus: int
    memory_gb: int
    nodes: list[Node]


@dataclass(slots=True)
class Plant:
    """The machines of one cluster, and what its owner has made of them."""

    name: str = ""
    """As its owner calls it; its id if empty."""
    status: str = "active"
    core_hours: float = 446.25
    queues: dict[str, Queue] = field(default_factory=dict)
    service_nodes: list[Node] = field(
        default_factory=lambda: [Node("登录节点1", "login"), Node("管理节点1", "controller")]
    )

    def add_queue(
        self, name: str, *, cores: int, gpus: int = 0, memory_gb: int | None = None
    ) -> Queue:
        """Build a queue, on nodes of ``NODE_CORES`` cores."""
        number = len(self.queues) + 1
        nodes = [
            Node(f"计算节点{number}-{place + 1}", "compute", queue=name)
            for place in range(math.ceil(cores / NODE_CORES))
        ]
        memory = cores * _GB_PER_CORE if memory_gb is None else memory_gb
        queue = self.queues[name] = Queue(name, cores, gpus, memory, nodes)
        return queue

    def build_for(self, jobs: JobList) -> None:
        """Build the queues of a list's jobs, with a little more room than those take that run."""
        for name in sorted({key.queue for key in jobs.counts()} - self.queues.keys()):
            cores = (cores_busy(jobs, name) // NODE_CORES + 2) * NODE_CORES
            self.add_queue(name, cores=cores, gpus=cores // 8 if "gpu" in name else 0)

    @property
    def nodes(self) -> list[Node]:
        """All of them."""
        return [*self.service_nodes, *(n for queue in self.queues.values() for n in queue.nodes)]


def cores_busy(jobs: JobList, queue: str) -> int:
    """Cores that jobs of the queue hold, suspended ones, too."""
    return sum(
        job.cores
        for status in ("running", *_SUSPENDED)
        for job in jobs.page(status=status, queue=queue, limit=len(jobs)).jobs
    )


class Counters:
    """The numbers of jobs that cluster/list tells of one cluster."""

    def __init__(self, jobs: JobList) -> None:
        self._jobs = jobs
        self._past: deque[tuple[float, Mapping[str, int]]] = deque()
        self._changes = -1
        self._first: Mapping[str, int] | None = None

    def look(self, now_at: float) -> None:
        """Called as often as one likes, for counters that lag."""
        if self._changes != self._jobs.changes:
            self._changes = self._jobs.changes
            self._past.append((now_at, self._now()))
        while len(self._past) > 1 and self._past[1][0] <= now_at - LAG_SECONDS:
            self._past.popleft()

    def told(self, counting: Counting, now_at: float) -> Mapping[str, int]:
        """By status."""
        if counting == "lagging":
            self.look(now_at)
            return self._past[0][1]
        if counting == "still":
            self._first = self._first or self._now()
            return self._first
        return self._otherwise() if counting == "otherwise" else self._now()

    def _now(self) -> dict[str, int]:
        return {
            "pending": self._count("pending"),
            "running": self._count("running"),
            "finished": self._count("finished"),
            "stopped": self._count(*_SUSPENDED),
            "deleted": 0,
        }

    def _otherwise(self) -> dict[str, int]:
        """All that have ended are finished, and all that have started run."""
        finished = self._count(*_END_STATUSES)
        running = self._count("running", *_SUSPENDED)
        return self._now() | {"finished": finished, "running": running, "stopped": 0}

    def _count(self, *statuses: str) -> int:
        return sum(self._jobs.matching(status=status) for status in statuses)
