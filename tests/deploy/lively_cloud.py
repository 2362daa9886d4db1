"""A simulated cloud in which within seconds everything happens that a dashboard can show."""

import threading
import time
from collections import deque
from types import TracebackType
from typing import Self

from exporter.simulator import JobList
from tests.e2e.running import World

MAIN, BUSY_QUEUE, BUSY_USER = "ehpc-main0001", "默认队列", "LAB\\sun"
QUEUES = (BUSY_QUEUE, "gpu-a100", "o\"brien's", *(f"queue.{number:02}" for number in range(9)))
USERS = (BUSY_USER, "李娜", "xu@phys", "a+b (c)", *(f"user-{number:02}" for number in range(8)))
"""More of each than a graph tells apart."""
OTHERS = tuple(f"hpc-other{number:03}" for number in range(11))
ENDS = ("finished", "exited", "cancelled")
BEAT_SECONDS = 1.0
WAITED_SECONDS = 7200


class Churn:
    """Jobs that come, start and end in one cluster, a step each beat."""

    def __init__(self, jobs: JobList, queues: tuple[str, ...], now_at: float) -> None:
        self._jobs = jobs
        self._queues = queues
        self._pending: deque[str] = deque()
        self._running: deque[str] = deque()
        self._ended: deque[str] = deque()
        for queue, user in zip(queues, USERS, strict=False):
            long_ago_at = now_at - WAITED_SECONDS
            jobs.submit(long_ago_at, queue=queue, user=user, cores=8)
            jobs.start(jobs.submit(long_ago_at, queue=queue, user=user, cores=4), long_ago_at + 60)

    def beat(self, number: int, now_at: float) -> None:
        """What was submitted starts, what was started ends, and one that ended long ago goes."""
        while self._running:
            uuid = self._running.popleft()
            self._jobs.end(uuid, now_at, ENDS[(number + len(self._running)) % len(ENDS)])
            self._ended.append(uuid)
        while self._pending:
            uuid = self._pending.popleft()
            self._jobs.start(uuid, now_at)
            self._running.append(uuid)
        for queue, user in zip(self._queues, USERS, strict=False):
            self._pending.append(self._jobs.submit(now_at, queue=queue, user=user))
        if len(self._ended) > 30:
            self._jobs.delete([self._ended.popleft()])


class LivelyCloud:
    """Lives until the end of the block."""

    def __init__(self) -> None:
        self.world = World()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, name="lively cloud", daemon=True)
        now_at = time.time()
        self._churns = [
            Churn(self.world.add(name).jobs, QUEUES if name == MAIN else QUEUES[:1], now_at)
            for name in (MAIN, *OTHERS)
        ]
        for hosted in self.world.cloud.clusters.values():
            hosted.plant.build_for(hosted.jobs)
        clusters = self.world.cloud.clusters
        clusters[MAIN].plant.queues[BUSY_QUEUE].nodes[0].status = "stopped"
        clusters[OTHERS[0]].plant.status = "suspended"

    def __enter__(self) -> Self:
        self.world.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self.world.__exit__(kind, error, trace)

    def _live(self) -> None:
        beat = 0
        while not self._stopping.wait(BEAT_SECONDS):
            beat += 1
            with self.world.lock:
                for churn in self._churns:
                    churn.beat(beat, time.time())
            # Not always the same: it waits before it tries again.
            unlucky = OTHERS[beat % len(OTHERS)]
            self.world.fault("ret-1400", cluster_id=unlucky, next_calls=1)
