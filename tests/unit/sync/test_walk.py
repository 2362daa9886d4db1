"""Reading a list that moves: nothing that stays is missed, and every walk comes to an end."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import msgspec
import pytest
from exporter.sync.evidence import by_last_change
from exporter.sync.walk import SeenInMemory, Step, Walk, run_to_end
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import SyncError
from exporter.ledger.records import Progress
from exporter.model import Job, Page
from tests.unit.sync.answers import AT, MovingList, converse, made, numbered

TOTALS: dict[str, Callable[[int], int | None]] = {
    "of this list": lambda length: length,
    "of the whole list": lambda length: 10_000,
    "missing": lambda length: None,
}

NEW = made("new", at=AT + 9)[0]


class Reader:
    """A walk over a moving list, with what it has learned, as a sync would hold it."""

    def __init__(self, moving: MovingList, **how: object) -> None:
        self.moving = moving
        self.met: list[Job] = []
        self.progress = Progress(page_cap=moving.cap)
        self.seen = SeenInMemory()
        self.walk = Walk(by_last_change, self.seen, lambda: self.progress)
        self.walk = replace(self.walk, **how)  # type: ignore[arg-type]

    def on_step(self, step: Step) -> bool:
        self.met += step.page.jobs
        return False

    def run(self) -> Step:
        return converse(self.walk.run(self.on_step), self.moving.answer)

    @property
    def names(self) -> set[str]:
        return {job.uuid for job in self.met}


def all_of(moving: MovingList) -> set[str]:
    return {job.uuid for job in moving.jobs}


class TestAtRest:
    @pytest.mark.parametrize("total", TOTALS)
    @pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 30, 31, 32, 33])
    def test_every_job_is_met(self, length: int, total: str) -> None:
        moving = MovingList(numbered(length), total=TOTALS[total])
        filtered = total == "of the whole list"
        reader = Reader(moving, filtered=filtered)
        last = reader.run()
        assert last.last
        assert reader.names == all_of(moving)
        assert reader.seen.count == length

    @pytest.mark.parametrize(
        ("length", "calls"), [(0, 1), (4, 1), (5, 2), (7, 2), (8, 3), (100, 33)]
    )
    def test_no_call_more_than_the_overlap_needs(self, length: int, calls: int) -> None:
        moving = MovingList(numbered(length))
        Reader(moving).run()
        assert len(moving.asked) == calls

    @pytest.mark.parametrize("cap", [2, 3, 4, 50, 100, 1000])
    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize("total", ["of this list", "missing"])
    def test_whatever_the_server_caps_pages_at(self, cap: int, known: bool, total: str) -> None:
        moving = MovingList(numbered(120), cap=cap, total=TOTALS[total])
        reader = Reader(moving)
        reader.progress = Progress(page_cap=min(cap, 100) if known else 0)

        def learn(step: Step) -> bool:
            longest = max(reader.progress.page_cap, len(step.page.jobs))
            reader.progress = msgspec.structs.replace(reader.progress, page_cap=longest)
            return reader.on_step(step)

        converse(reader.walk.run(learn), moving.answer)
        assert reader.names == all_of(moving)

    def test_it_ends_when_told(self) -> None:
        moving = MovingList(numbered(100))
        reader = Reader(moving)
        met: list[Step] = []
        last = converse(
            reader.walk.run(lambda step: met.append(step) or len(met) == 3), moving.answer
        )
        assert moving.asked == [0, 3, 6]
        assert last.offset == 6
        assert not last.last

    def test_it_goes_on_from_a_page_that_was_read_already(self) -> None:
        moving = MovingList(numbered(9))
        head = Step(Page(tuple(moving.jobs[:4]), 9), 0, last=False)
        reader = Reader(moving, after=head)
        reader.run()
        assert moving.asked == [3, 6]
        assert reader.names | {job.uuid for job in head.page.jobs} == all_of(moving)

    def test_from_the_middle_it_must_show_something_above(self) -> None:
        moving = MovingList(numbered(40))
        reader = Reader(moving, start=20, reaches_above_at=AT - 15, newest_first=True)
        reader.run()
        assert moving.asked[:2] == [20, 10]
        assert {job.uuid for job in moving.jobs[20:]} <= reader.names


class TestMoving:
    """The list changes between two calls; whoever is in it from the first call to the last is met."""

    @pytest.mark.parametrize("total", TOTALS)
    @pytest.mark.parametrize("newest_first", [True, False])
    @pytest.mark.parametrize("after", [1, 2, 3, 5])
    @pytest.mark.parametrize(
        "act",
        [
            lambda jobs: jobs.insert(0, made("new", at=AT + 1)[0]),
            lambda jobs: jobs.__setitem__(slice(0, 0), made(*"abcdefghij", at=AT + 20)),
            lambda jobs: jobs.pop(0),
            lambda jobs: jobs.pop(5),
            lambda jobs: jobs.pop(),
            lambda jobs: jobs.__delitem__(slice(0, 6)),
            lambda jobs: jobs.__delitem__(slice(2, 16)),
            lambda jobs: jobs.__delitem__(slice(10, 22)),
            lambda jobs: jobs.insert(0, jobs.pop(15)._replace(modified_at=AT + 1)),
            lambda jobs: jobs.insert(0, jobs.pop(3)._replace(modified_at=AT + 1)),
        ],
        ids=[
            "insert", "insert ten", "delete first", "delete", "delete last", "delete six at the head",
            "delete many", "delete many ahead", "move to the head", "move what was seen",
        ],
    )  # fmt: skip
    def test_nobody_who_stays_is_missed(
        self, total: str, newest_first: bool, after: int, act: Callable[[list[Job]], object]
    ) -> None:
        jobs = numbered(24)
        stayed = {job.uuid for job in jobs}
        moving = MovingList(jobs, total=TOTALS[total], acts={after: act})
        reader = Reader(moving, newest_first=newest_first, filtered=total == "of the whole list")
        reader.run()
        # What moved to the head behind the reader's back is for a look at the head to find.
        stayed &= {job.uuid for job in moving.jobs if (job.modified_at or 0) <= AT}
        assert stayed <= reader.names

    @settings(max_examples=150, deadline=None)
    @given(
        length=st.integers(0, 40),
        cap=st.integers(2, 7),
        total=st.sampled_from(sorted(TOTALS)),
        seed=st.integers(0, 10**6),
        often=st.floats(0.1, 1.0),
    )
    def test_nor_with_any_changes(
        self, length: int, cap: int, total: str, seed: int, often: float
    ) -> None:
        dice = Random(seed)
        jobs = numbered(length)
        stayed = {job.uuid for job in jobs}
        fresh = 0

        def change(now: list[Job]) -> None:
            nonlocal fresh
            if dice.random() > often:
                return
            for _ in range(dice.randrange(1, 4)):
                if now and dice.random() < 0.6:
                    gone = now.pop(dice.randrange(len(now)))
                    stayed.discard(gone.uuid)
                else:
                    fresh += 1
                    now.insert(0, made(f"new-{fresh}", at=AT + fresh)[0])

        moving = MovingList(
            jobs, cap=cap, total=TOTALS[total], acts=dict.fromkeys(range(1, 15), change)
        )
        reader = Reader(moving, filtered=total == "of the whole list")
        try:
            reader.run()
        except SyncError:
            return  # it says that it cannot; the next sync tries again
        assert stayed <= reader.names

    def test_a_list_that_always_moves_away_is_given_up(self) -> None:
        count = 0

        def replace_all(jobs: list[Job]) -> None:
            nonlocal count
            count += 1
            jobs[:] = made(*(f"{count}-{n}" for n in range(50)))

        moving = MovingList(numbered(50), acts=dict.fromkeys(range(1, 400), replace_all))
        with pytest.raises(SyncError, match="another one at every call"):
            Reader(moving).run()
        assert len(moving.asked) < 200

    @pytest.mark.parametrize("gone", [1, 2, 3, 17])
    def test_it_steps_back_by_the_total_where_the_order_says_nothing(self, gone: int) -> None:
        """What is deleted in front of a page moves others in front of it, unseen."""
        moving = MovingList(
            numbered(60), cap=20, acts={1: lambda jobs: jobs.__delitem__(slice(gone))}
        )
        reader = Reader(moving, strict=False)
        reader.run()
        assert all_of(moving) <= reader.names


class TestLies:
    def test_a_server_that_ignores_offsets_is_given_up(self) -> None:
        page = Page(tuple(numbered(4)), None)
        calls = 0

        def answer(_: object) -> Page:
            nonlocal calls
            calls += 1
            assert calls < 500
            return page

        reader = Reader(MovingList([], total=TOTALS["missing"]))
        with pytest.raises(SyncError, match="repeats itself"):
            converse(reader.walk.run(reader.on_step), answer)

    @pytest.mark.parametrize("total", TOTALS)
    def test_an_empty_page_in_the_middle_is_not_the_end(self, total: str) -> None:
        moving = MovingList(numbered(24), total=TOTALS[total])
        reader = Reader(moving, filtered=total == "of the whole list")
        empty = [3]

        def answer(ask: object) -> Page:
            page = moving.answer(ask)  # type: ignore[arg-type]
            if len(moving.asked) in empty:
                return Page((), page.total_count)
            return page

        converse(reader.walk.run(reader.on_step), answer)
        assert reader.names == all_of(moving)

    def test_a_total_that_is_too_small_does_not_end_it(self) -> None:
        moving = MovingList(numbered(24), total=lambda length: 3)
        reader = Reader(moving)
        reader.run()
        assert reader.names == all_of(moving)

    def test_a_page_of_one_job_with_more_to_come_is_not_the_end(self) -> None:
        """A gateway cuts an answer short; the total still says how many there are."""
        moving = MovingList(numbered(24))
        reader = Reader(moving)

        def answer(ask: object) -> Page:
            page = moving.answer(ask)  # type: ignore[arg-type]
            return Page(page.jobs[:1], page.total_count) if len(moving.asked) == 3 else page

        converse(reader.walk.run(reader.on_step), answer)
        assert reader.names == all_of(moving)


class TestToTheEnd:
    @pytest.mark.parametrize(
        ("counts", "total"),
        [("filtered", "of this list"), ("whole", "of the whole list"), ("missing", "missing")],
    )
    @pytest.mark.parametrize("seed", range(5))
    def test_pages_that_join_by_luck_are_read_again(
        self, counts: str, total: str, seed: int
    ) -> None:
        """Ties are shown in another order at every call: how many there are tells when all were met."""
        dice = Random(seed)
        jobs = [job._replace(modified_at=AT) for job in numbered(24)]
        shuffle = dict.fromkeys(range(1, 2000), dice.shuffle)
        moving = MovingList(jobs, cap=9, total=TOTALS[total], acts=shuffle)
        reader = Reader(moving, filtered=True)
        reader.progress = msgspec.structs.replace(reader.progress, totals=counts)
        converse(run_to_end(reader.walk, reader.on_step), moving.answer)
        assert reader.names == all_of(moving)

    def test_while_nobody_knows_what_the_total_counts_the_end_is_believed(self) -> None:
        """A job that comes while the list is read is not worth reading it again."""
        moving = MovingList(numbered(24), cap=9, acts={1: lambda jobs: jobs.insert(0, NEW)})
        reader = Reader(moving, filtered=True)
        converse(run_to_end(reader.walk, reader.on_step), moving.answer)
        assert reader.names == all_of(moving) - {NEW.uuid}
        assert len(moving.asked) == 3

    def test_a_total_that_is_never_reached_is_given_up(self) -> None:
        moving = MovingList(numbered(20), total=lambda length: length + 1)
        reader = Reader(moving, filtered=True)
        reader.progress = msgspec.structs.replace(reader.progress, totals="filtered")
        with pytest.raises(SyncError):
            converse(run_to_end(reader.walk, reader.on_step), moving.answer)
        assert len(moving.asked) < 500
