"""Lists that move under a reader, and pages made of them by plain slicing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random

import msgspec

from exporter.ledger.store import open_ledger
from exporter.model import Job, Page
from exporter.profile import Profile
from exporter.sync.asking import Ask, Asking, Finished, T, advance
from exporter.sync.context import Memory, Sync, SyncSettings
from exporter.sync.intake import Intake

AT = 1_700_000_000


def made(*names: str, at: int = AT) -> list[Job]:
    """Jobs by name, each changed a second before the one that stands in front of it."""
    return [
        Job(name, "running", "q", "u", 1, at - place, at - place, at - place)
        for place, name in enumerate(names)
    ]


def numbered(count: int, *, at: int = AT) -> list[Job]:
    """So many jobs."""
    return made(*(f"job-{number:04d}" for number in range(count)), at=at)


class MovingList:
    """A list of jobs; ``acts`` change it after the call of that number, from 1."""

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        cap: int = 4,
        total: Callable[[int], int | None] = lambda length: length,
        acts: Mapping[int, Callable[[list[Job]], object]] | None = None,
    ) -> None:
        self.jobs = list(jobs)
        self.cap = cap
        self.total = total
        self.acts = acts or {}
        self.asked: list[int] = []

    def answer(self, ask: Ask) -> Page:
        """One page."""
        offset = ask.query.offset
        self.asked.append(offset)
        assert len(self.asked) < 2000, "it does not come to an end"
        page = Page(
            tuple(self.jobs[offset : offset + min(self.cap, ask.query.limit)]),
            self.total(len(self.jobs)),
        )
        self.acts.get(len(self.asked), lambda jobs: None)(self.jobs)
        return page


def converse(asking: Asking[T], answer: Callable[[Ask], Page]) -> T:
    """Hold the other end of a conversation."""
    step = advance(asking, None)
    while isinstance(step, Ask):
        step = advance(asking, answer(step))
    assert isinstance(step, Finished)
    return step.value


@contextmanager
def a_sync(profile: Profile, jobs: Sequence[Job] = (), **progress: object) -> Iterator[Sync]:
    """One sync of a ledger in memory that knows some jobs, in a transaction."""
    ledger = open_ledger(None, "whose")
    try:
        with ledger.transaction():
            ledger.apply(jobs)
            ledger.progress = msgspec.structs.replace(ledger.progress, **progress)
            intake = Intake(ledger, began_at=AT - 1000.0, now_at=AT + 100.0)
            yield Sync(
                ledger,
                Memory(profile),
                intake,
                SyncSettings(),
                lambda _: 10**6,
                Random(1),
                AT + 100.0,
            )
    finally:
        ledger.close()
