"""What happens on purpose in a demonstration, in addition to the ordinary workload. Pure.

Within a minute there is something of everything to see: a backlog, an empty queue, a user who floods
another, a cluster that fails and recovers. After ``PERIOD_SECONDS`` it begins anew, for whoever starts
watching later.
"""

from collections.abc import Callable, Mapping

from exporter.simulator.faults import FaultRule
from exporter.simulator.protocol import Cloud
from exporter.simulator.workload import Inhabitants

PERIOD_SECONDS = 300
BACKLOG_CLUSTER, BACKLOG_QUEUE = "ehpc-qmmvigwe", "gpu-a100"
EMPTY_CLUSTER, EMPTY_QUEUE = "ehpc-qmmvigwe", "debug"
FLOOD_CLUSTER, FLOOD_QUEUE, FLOOD_USER = "ehpc-k3v8xw1d", "默认队列", "zhangwei"
FAILING_CLUSTER, FAILING_QUEUE = "ehpc-7tb2mz5c", "默认队列"

_BACKLOG = range(5, 125, 4)
"""Seconds after the beginning at which wide jobs come; at the end of them somebody takes them back."""
_FLOOD = range(20, 40)
_FLOOD_JOBS = 20
"""Each second."""
_LAST_JOBS, _EMPTY_UNTIL = 40, 150
"""So many are in the queue at the beginning; nobody submits to it before the end."""
_FLOOD_UNTIL = 240
_FAILS_FROM, _FAILS_SECONDS = 25, 20
"""So long that no refresh of the page and no scrape in 15 s misses it, and it is over within the minute."""
_RUN_SECONDS = 15
_FLOOD_RUN_SECONDS = 120


def tell(cloud: Cloud, inhabitants: Mapping[str, Inhabitants], begin_at: float) -> None:
    """Have all of it happen from ``begin_at`` on, again and again, in the clusters that are there."""
    for cluster_id, story in (
        (BACKLOG_CLUSTER, _grow_backlog),
        (EMPTY_CLUSTER, _run_empty),
        (FLOOD_CLUSTER, _flood),
    ):
        if cluster_id in inhabitants:
            _again(inhabitants[cluster_id], begin_at, story)
    if FAILING_CLUSTER in inhabitants:
        _again(inhabitants[FAILING_CLUSTER], begin_at, lambda people, at: _fail(cloud, people, at))


def _again(people: Inhabitants, at: float, story: Callable[[Inhabitants, float], None]) -> None:
    def begin(then: int) -> None:
        story(people, then)
        people.engine.schedule(then + PERIOD_SECONDS, begin)

    people.engine.schedule(at, begin)


def _grow_backlog(people: Inhabitants, at: float) -> None:
    engine = people.engine
    engine.cancel_waiting(BACKLOG_QUEUE, int(at))

    def submit(then: int) -> None:
        cores = engine.queues[BACKLOG_QUEUE].cores
        _submit(people, then, BACKLOG_QUEUE, "李娜", jobs=5, cores=cores)

    for second in _BACKLOG:
        engine.schedule(at + second, submit)
    _take_back(people, BACKLOG_QUEUE, at + _BACKLOG.stop)


def _run_empty(people: Inhabitants, at: float) -> None:
    people.absent_from.add(EMPTY_QUEUE)
    people.engine.cancel_all(EMPTY_QUEUE, int(at))  # of others, some might run for long
    _submit(people, int(at), EMPTY_QUEUE, "陈建国", jobs=_LAST_JOBS, cores=1)
    people.engine.schedule(at + _EMPTY_UNTIL, lambda _: people.absent_from.discard(EMPTY_QUEUE))


def _flood(people: Inhabitants, at: float) -> None:
    engine = people.engine
    engine.cancel_waiting(FLOOD_QUEUE, int(at))

    def submit(then: int) -> None:
        _submit(
            people,
            then,
            FLOOD_QUEUE,
            FLOOD_USER,
            jobs=_FLOOD_JOBS,
            cores=8,
            run_seconds=_FLOOD_RUN_SECONDS,
        )

    for second in _FLOOD:
        engine.schedule(at + second, submit)
    _take_back(people, FLOOD_QUEUE, at + _FLOOD_UNTIL)


def _fail(cloud: Cloud, people: Inhabitants, at: float) -> None:
    def begin(then: int) -> None:
        # Nobody asks for the jobs of a cluster in which nothing happens.
        _submit(people, then, FAILING_QUEUE, FLOOD_USER, jobs=5, cores=1)
        rule = cloud.faults.add("http-503", cluster_id=FAILING_CLUSTER)
        end_at = at + _FAILS_FROM + _FAILS_SECONDS
        people.engine.schedule(end_at, lambda _: end(rule))

    def end(rule: FaultRule) -> None:
        if rule in cloud.faults.rules:  # nobody has taken it away meanwhile
            cloud.faults.rules.remove(rule)

    people.engine.schedule(at + _FAILS_FROM, begin)


def _submit(
    people: Inhabitants,
    at: int,
    queue: str,
    user: str,
    *,
    jobs: int,
    cores: int,
    run_seconds: int = _RUN_SECONDS,
) -> None:
    for _ in range(jobs):
        people.engine.submit(
            at, queue=queue, user=user, cores=cores, run_seconds=run_seconds, outcome="finished"
        )


def _take_back(people: Inhabitants, queue: str, at: float) -> None:
    """Whoever waits gives up."""

    def cancel(then: int) -> None:
        people.engine.cancel_waiting(queue, then)

    people.engine.schedule(at, cancel)
