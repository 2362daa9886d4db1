"""Creating large lists, or many clusters, at once."""

import random
from collections.abc import Iterable, Iterator, Set

from exporter.simulator.hosted import HostedCluster
from exporter.simulator.joblist import JobList
from exporter.simulator.listed import JobRow
from exporter.simulator.protocol import Cloud

_ENDS = ("finished",) * 8 + ("exited", "cancelled")


def fill(
    jobs: JobList,
    count: int,
    *,
    active: int,
    now_at: float,
    seed: int = 0,
    queues: int = 12,
    users: int = 60,
    span_seconds: float = 90 * 86400,
) -> None:
    """Load ``count`` jobs submitted within ``span_seconds`` before ``now_at``, in that order.

    ``active`` of them are pending (two thirds) or running, mostly among the youngest; every one
    else has ended. A million take a few seconds.
    """
    if active > count:
        raise ValueError(f"{active} active jobs of {count}")
    rng = random.Random(seed)
    names = (
        [f"queue-{number:02d}" for number in range(queues)],
        [f"usr-{number:04d}" for number in range(users)],
    )
    submits = (int(now_at - span_seconds * (count - number) / count) for number in range(count))
    youngest = count - min(count, 4 * active)
    live = set(rng.sample(range(youngest, count), active))
    jobs.load(_rows(submits, live, int(now_at), rng, names))


def host_fleet(
    cloud: Cloud, clusters: int, *, now_at: float, zone: str = "jinan1a", jobs: int = 40
) -> list[HostedCluster]:
    """Add small clusters, whose jobs do not change until somebody changes them."""
    fleet = []
    for number in range(clusters):
        hosted = cloud.add_cluster(f"ehpc-fleet{number:03d}", zone=zone)
        fill(
            hosted.jobs, jobs, active=jobs // 4, now_at=now_at, seed=number, queues=2, users=5,
        )  # fmt: skip
        hosted.plant.build_for(hosted.jobs)
        fleet.append(hosted)
    return fleet


def _rows(
    submits: Iterable[int],
    live: Set[int],
    now_at: int,
    rng: random.Random,
    names: tuple[list[str], list[str]],
) -> Iterator[JobRow]:
    queue_names, user_names = names
    queues, users = len(queue_names), len(user_names)
    chance = rng.random
    for number, submitted in enumerate(submits):
        queue = queue_names[int(chance() * queues)]
        user = user_names[int(chance() * chance() * users)]
        cores = 1 << int(chance() * 6)
        room = now_at - submitted
        if number not in live:
            # Of what is left each time: cut off at ``now_at``, thousands would end in one second.
            started = submitted + int(chance() ** 4 * room)
            ended = started + int(chance() ** 4 * (now_at - started))
            yield JobRow(_ENDS[int(chance() * 10)], queue, user, cores, submitted, started, ended)
        elif chance() < 2 / 3:
            yield JobRow("pending", queue, user, cores, submitted, None, submitted)
        else:
            started = submitted + int(chance() * room)
            yield JobRow("running", queue, user, cores, submitted, started, started)
