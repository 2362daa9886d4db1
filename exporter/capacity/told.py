"""What the cloud reported about one cluster, each part with its time, and what is published of it.
Pure.

Calls fail one by one. A part that was not reported this time stays as it was until it is too old.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Generic, TypeVar

from exporter.clock import Instant
from exporter.model import Amount, ListedCluster, ListedNode, ListedQueue
from exporter.snapshot import Capacity, QueueCapacity

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Dated(Generic[Value]):
    """Something that was true at a moment."""

    value: Value
    taken: Instant


@dataclass(frozen=True, slots=True)
class ConfiguredQueue:
    """What the configuration says about a queue; None where it does not."""

    name: str
    cores: int | None
    gpus: int | None


@dataclass(frozen=True, slots=True)
class Told:
    """The parts, one for each call. None: not reported, or too old."""

    listed: Dated[ListedCluster] | None = None
    queues: Dated[tuple[ListedQueue, ...]] | None = None
    details: Dated[Mapping[str, ListedQueue]] | None = None
    """By queue id, with what of them is free."""
    nodes: Dated[tuple[ListedNode, ...]] | None = None

    @property
    def moments(self) -> list[Instant]:
        """The moments of the parts that there are."""
        parts = (getattr(self, field.name) for field in fields(self))
        return [part.taken for part in parts if part is not None]

    def without_the_old(self, now: Instant, served_seconds: float) -> "Told":
        """The parts that are not too old to be served."""

        def is_old(part: Dated[object] | None) -> bool:
            return part is not None and (
                now.at - part.taken.at > served_seconds
                or now.seconds - part.taken.seconds > served_seconds
            )

        return replace(
            self, **{f.name: None for f in fields(self) if is_old(getattr(self, f.name))}
        )


def capacity_of(
    told: Told,
    configured: Sequence[ConfiguredQueue],
    served_seconds: float,
    words: Mapping[str, str] | None = None,
) -> Capacity | None:
    """What is to be published; None where nothing was reported. ``words`` has the names under which the
    server's statuses and roles are shown; None: their own."""
    if not told.moments and not configured:
        return None
    moments = told.moments
    listed = told.listed.value if told.listed else None
    words = _AsTheyAre() if words is None else words
    nodes = told.nodes.value if told.nodes else ()
    return Capacity(
        taken=Instant(min(m.at for m in moments), min(m.seconds for m in moments))
        if moments
        else None,
        served_seconds=served_seconds,
        status=words[listed.status] if listed and listed.status else "",
        core_hours=listed.core_hours if listed else None,
        listed_jobs=listed.jobs if listed else {},
        queues=_queues(told, configured, words),
        nodes=Counter((words[node.role], words[node.status]) for node in nodes),
    )


def _queues(
    told: Told, configured: Sequence[ConfiguredQueue], words: Mapping[str, str]
) -> tuple[QueueCapacity, ...]:
    details = told.details.value if told.details else {}
    nodes = told.nodes.value if told.nodes else ()
    by_name = {queue.name: queue for queue in configured}
    found, named = [], set[str]()
    for queue in told.queues.value if told.queues else ():
        detail = details.get(queue.queue_id, _UNTOLD)
        names = tuple(dict.fromkeys((*queue.names, *detail.names)))
        said = next((by_name[name] for name in names if name in by_name), _UNSAID)
        named.update(names)
        found.append(
            QueueCapacity(
                names,
                _amount(queue.cores, detail.cores, said.cores),
                _amount(queue.gpus, detail.gpus, said.gpus),
                _amount(queue.memory_bytes, detail.memory_bytes, None),
                _by_word(
                    queue.nodes or Counter(n.status for n in nodes if n.queue in names), words
                ),
            )
        )
    found += [
        QueueCapacity((name,), _amount(Amount(), Amount(), queue.cores), _amount(Amount(), Amount(), queue.gpus),
                      Amount(), {})
        for name, queue in by_name.items()
        if name not in named
    ]  # fmt: skip
    return tuple(found)


def _by_word(nodes: Mapping[str, int], words: Mapping[str, str]) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for status, count in nodes.items():
        counts[words[status]] += count
    return counts


class _AsTheyAre(dict[str, str]):
    def __missing__(self, word: str) -> str:
        return word


def _amount(listed: Amount, detail: Amount, configured: int | None) -> Amount:
    """What is free is told together with a total, which is then the one to hold it against; where that
    is 0 and the list knows more, the detail knows nothing."""
    if detail.total or (detail.total == 0 and not listed.total):
        return detail
    if listed.total is None:
        return Amount(None if configured is None else float(configured))
    return listed


_UNTOLD = ListedQueue("", (), Amount(), Amount(), Amount(), {})
_UNSAID = ConfiguredQueue("", None, None)
