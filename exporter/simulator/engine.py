"""What happens to jobs once they are submitted: they wait for cores, run and end."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from exporter.simulator.joblist import JobList


@dataclass(slots=True)
class Plan:
    """One job and what will happen to it."""

    uuid: str
    queue: str
    cores: int
    run_seconds: int
    """What it still has to run."""
    outcome: str
    """The status in which it ends."""
    state: str = "waiting"
    """``waiting``, ``running``, ``held`` (with its cores), ``over``."""
    started_at: int = 0
    turn: int = 0
    """Moves on with every change of state: an end that was planned before one is void."""


@dataclass(slots=True)
class FifoQueue:
    """Jobs start in the order in which they came, while there are cores for the first of them."""

    cores: int
    free: int = field(init=False)
    waiting: deque[Plan] = field(default_factory=deque)
    started: dict[str, Plan] = field(default_factory=dict)
    """The jobs that hold cores, by their uuids."""

    def __post_init__(self) -> None:
        self.free = self.cores


class Engine:
    """The events of one cluster, in order. Equal calls give equal worlds, in steps of any size."""

    def __init__(self, jobs: JobList, at: float) -> None:
        self.jobs = jobs
        self.queues: dict[str, FifoQueue] = {}
        self.now_at = at
        self.on_over: Callable[[Plan, int], None] = lambda _plan, _at: None
        """Called when a job has ended or was cancelled."""
        self.on_start: Callable[[Plan, int], None] = lambda _plan, _at: None
        """Called when a job has started."""
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._scheduled = 0

    def add_queue(self, name: str, cores: int) -> None:
        """Open a queue that runs at most ``cores`` cores at a time."""
        self.queues[name] = FifoQueue(cores)

    def schedule(self, at: float, act: Callable[[int], None]) -> None:
        """Have ``act`` called at the second ``at``; in order of scheduling within it."""
        self._scheduled += 1
        heapq.heappush(self._events, (int(at), self._scheduled, act))

    def advance_to(self, at: float) -> None:
        """Let everything happen that is due by ``at``, that second included."""
        events = self._events
        while events and events[0][0] <= at:
            second, _, act = heapq.heappop(events)
            self.now_at = second
            act(second)
        self.now_at = max(self.now_at, at)

    def submit(
        self, at: int, *, queue: str, user: str, cores: int, run_seconds: int, outcome: str
    ) -> Plan:
        """A job arrives, and starts at once if it may. No job asks for more than its queue has."""
        fifo = self.queues[queue]
        asked = min(cores, fifo.cores)
        uuid = self.jobs.submit(at, queue=queue, user=user, cores=asked)
        plan = Plan(uuid, queue, asked, run_seconds, outcome)
        fifo.waiting.append(plan)
        self._start_ready(fifo, at)
        return plan

    def cancel(self, plan: Plan, at: int) -> None:
        """The job is cancelled, unless it is over."""
        if plan.state == "over":
            return
        self._leave(plan)
        plan.state = "over"
        self.jobs.cancel(plan.uuid, at)
        self.on_over(plan, at)
        self._start_ready(self.queues[plan.queue], at)

    def requeue(self, plan: Plan, at: int) -> None:
        """A running job goes back to the end of its queue and will run from its beginning."""
        if plan.state != "running":
            return
        self._leave(plan)
        plan.state = "waiting"
        self.jobs.requeue(plan.uuid, at)
        fifo = self.queues[plan.queue]
        fifo.waiting.append(plan)
        self._start_ready(fifo, at)

    def suspend(self, plan: Plan, at: int, seconds: int) -> None:
        """A running job is held for a while; it keeps its cores."""
        if plan.state != "running":
            return
        plan.turn += 1
        plan.state = "held"
        plan.run_seconds = max(0, plan.run_seconds - (at - plan.started_at))
        self.jobs.suspend(plan.uuid, at)
        self.schedule(at + seconds, self._resumer(plan))

    def cancel_waiting(self, queue: str, at: int) -> int:
        """Cancel all jobs that wait in a queue. Returns how many."""
        plans = list(self.queues[queue].waiting)
        self.queues[queue].waiting.clear()
        for plan in plans:
            plan.state = "over"
            self.jobs.cancel(plan.uuid, at)
            self.on_over(plan, at)
        return len(plans)

    def cancel_all(self, queue: str, at: int) -> None:
        """Cancel all jobs of a queue, those that run as well."""
        self.cancel_waiting(queue, at)
        for plan in list(self.queues[queue].started.values()):
            self.cancel(plan, at)

    def cores_busy(self, queue: str) -> int:
        """Cores that jobs of the queue hold."""
        fifo = self.queues[queue]
        return fifo.cores - fifo.free

    def _leave(self, plan: Plan) -> None:
        plan.turn += 1
        fifo = self.queues[plan.queue]
        if plan.state == "waiting":
            fifo.waiting.remove(plan)
        else:
            fifo.free += plan.cores
            del fifo.started[plan.uuid]

    def _start_ready(self, fifo: FifoQueue, at: int) -> None:
        while fifo.waiting and fifo.waiting[0].cores <= fifo.free:
            plan = fifo.waiting.popleft()
            fifo.free -= plan.cores
            fifo.started[plan.uuid] = plan
            plan.started_at = at
            plan.state = "running"
            plan.turn += 1
            self.jobs.start(plan.uuid, at)
            self.schedule(at + plan.run_seconds, self._ender(plan))
            self.on_start(plan, at)

    def _ender(self, plan: Plan) -> Callable[[int], None]:
        turn = plan.turn

        def end(at: int) -> None:
            if plan.turn != turn:
                return
            self._leave(plan)
            plan.state = "over"
            self.jobs.end(plan.uuid, at, plan.outcome)
            self.on_over(plan, at)
            self._start_ready(self.queues[plan.queue], at)

        return end

    def _resumer(self, plan: Plan) -> Callable[[int], None]:
        turn = plan.turn

        def resume(at: int) -> None:
            if plan.turn != turn:
                return
            plan.turn += 1
            plan.state = "running"
            plan.started_at = at
            self.jobs.resume(plan.uuid, at)
            self.schedule(at + plan.run_seconds, self._ender(plan))

        return resume


class World:
    """The engines of a cloud's clusters, advanced together."""

    def __init__(self, engines: Iterable[tuple[str, Engine]]) -> None:
        self.engines = dict(engines)

    def advance_to(self, at: float) -> None:
        """Let everything happen that is due by ``at``."""
        for engine in self.engines.values():
            engine.advance_to(at)

    def submit_backlog(
        self,
        cluster_id: str,
        *,
        queue: str,
        user: str = "backlog",
        jobs: int,
        cores: int = 0,
        run_seconds: int = 3600,
    ) -> int:
        """Submit many jobs at once, each as wide as the whole queue unless told; gives the number
        of those that wait in the queue then. A queue that is not there is opened."""
        engine = self.engines[cluster_id]
        if queue not in engine.queues:
            engine.add_queue(queue, max(cores, 1))
        fifo = engine.queues[queue]
        for _ in range(jobs):
            engine.submit(
                int(engine.now_at),
                queue=queue,
                user=user,
                cores=cores or fifo.cores,
                run_seconds=run_seconds,
                outcome="finished",
            )
        return len(fifo.waiting)

    def cancel_backlog(self, cluster_id: str, queue: str) -> int:
        """Cancel all jobs that wait in a queue. Returns how many."""
        engine = self.engines[cluster_id]
        return engine.cancel_waiting(queue, int(engine.now_at)) if queue in engine.queues else 0
