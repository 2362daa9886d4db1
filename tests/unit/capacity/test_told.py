"""Parts of what was told of a cluster, and what is published of them."""

import math

import pytest

from exporter.capacity.told import ConfiguredQueue, Dated, Told, capacity_of
from exporter.clock import Instant
from exporter.model import Amount, ListedCluster, ListedNode, ListedQueue
from exporter.snapshot import Capacity, QueueCapacity

EARLY, LATE = Instant(1000.0, 10.0), Instant(1100.0, 110.0)
NONE = Amount()
CLUSTER = ListedCluster("ehpc-1", "x", "active", {"pending": 1}, "ehpc", 7.5)


def queue(
    *names: str, cores: Amount = NONE, gpus: Amount = NONE, nodes: dict[str, int] | None = None
) -> ListedQueue:
    return ListedQueue(f"id-{names[0]}", names, cores, gpus, Amount(), nodes or {})


def told(*queues: ListedQueue, **details: ListedQueue) -> Told:
    return Told(queues=Dated(queues, LATE), details=Dated(details, LATE))


def cores_of(listed: Amount, detail: Amount, configured: int | None = None) -> Amount:
    one = told(queue("gpu", cores=listed), **{"id-gpu": queue("gpu", cores=detail)})
    said = () if configured is None else (ConfiguredQueue("gpu", configured, None),)
    capacity = capacity_of(one, said, 300.0)
    assert capacity is not None
    (only,) = capacity.queues
    return only.cores


def test_everything_that_can_be_told() -> None:
    whole = Told(
        listed=Dated(CLUSTER, EARLY),
        queues=Dated((queue("gpu", "p1", cores=Amount(26.0), nodes={"active": 1}),), LATE),
        details=Dated({"id-gpu": queue("gpu", "q7", cores=Amount(26.0, 4.0))}, LATE),
        nodes=Dated(
            (ListedNode("login", "active", ""), ListedNode("compute", "active", "gpu")), LATE
        ),
    )
    assert capacity_of(whole, (), 300.0) == Capacity(
        taken=EARLY,
        served_seconds=300.0,
        status="active",
        core_hours=7.5,
        listed_jobs={"pending": 1},
        queues=(
            QueueCapacity(
                ("gpu", "p1", "q7"), Amount(26.0, 4.0), Amount(), Amount(), {"active": 1}
            ),
        ),
        nodes={("login", "active"): 1, ("compute", "active"): 1},
    )


def test_nothing_told_is_nothing_published() -> None:
    assert capacity_of(Told(), (), 300.0) is None


@pytest.mark.parametrize(
    ("listed", "detail", "configured", "shown"),
    [
        (
            Amount(26.0),
            Amount(24.0, 4.0),
            512,
            Amount(24.0, 4.0),
        ),  # what is free belongs to its total
        (Amount(26.0), Amount(), 512, Amount(26.0)),
        (Amount(26.0), Amount(0.0, 0.0), None, Amount(26.0)),  # a call that does not know this kind
        (Amount(0.0), Amount(0.0, 0.0), 512, Amount(0.0, 0.0)),
        (Amount(), Amount(0.0, 0.0), None, Amount(0.0, 0.0)),
        (Amount(), Amount(), 512, Amount(512.0)),
        (Amount(), Amount(), None, Amount()),
    ],
)
def test_whose_word_counts(
    listed: Amount, detail: Amount, configured: int | None, shown: Amount
) -> None:
    assert cores_of(listed, detail, configured) == shown


def test_queues_that_only_the_configuration_knows() -> None:
    configured = (ConfiguredQueue("p1", 64, 8), ConfiguredQueue("extra", None, 2))
    capacity = capacity_of(told(queue("gpu", "p1", gpus=Amount(4.0))), configured, 300.0)
    assert capacity is not None
    assert capacity.queues == (
        QueueCapacity(("gpu", "p1"), Amount(64.0), Amount(4.0), Amount(), {}),
        QueueCapacity(("extra",), Amount(), Amount(2.0), Amount(), {}),
    )
    alone = capacity_of(Told(), configured, math.inf)
    assert alone is not None
    assert (alone.taken, len(alone.queues)) == (None, 2)


def test_nodes_of_a_queue_by_their_own_list_where_the_queues_is_silent() -> None:
    nodes = tuple(
        ListedNode("compute", status, name)
        for status, name in [("active", "gpu"), ("stopped", "id-gpu"), ("active", "cpu")]
    )
    quiet = ListedQueue("id-gpu", ("gpu", "id-gpu"), Amount(), Amount(), Amount(), {})
    one = Told(queues=Dated((quiet,), LATE), nodes=Dated(nodes, LATE))
    capacity = capacity_of(one, (), 300.0)
    assert capacity is not None
    assert capacity.queues[0].nodes == {"active": 1, "stopped": 1}


@pytest.mark.parametrize(
    ("now", "left"),
    [
        (Instant(1300.0, 310.0), [EARLY, LATE]),
        (Instant(1300.1, 0.0), [LATE]),  # the machine slept
        (Instant(0.0, 310.1), [LATE]),  # its clock was set back
        (Instant(1400.1, 410.1), []),
    ],
)
def test_old_parts_go_one_by_one(now: Instant, left: list[Instant]) -> None:
    whole = Told(listed=Dated(CLUSTER, EARLY), nodes=Dated((), LATE))
    assert whole.without_the_old(now, 300.0).moments == left
