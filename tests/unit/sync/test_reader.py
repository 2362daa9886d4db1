"""Reading a list that moves: nothing that stays is missed, and every reading comes to an end."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import SyncError
from exporter.model import Job, Page
from exporter.profile import Profile, Trait
from exporter.simulator import DEPLOYMENTS, JobList, in_small
from exporter.sync.asking import Ask, CollapseUnconfirmed, Contradiction
from exporter.sync.context import BY_CHANGE, ListView, PlacedPage, Sync
from exporter.sync.reader import OnPage, SeenInMemory, read, read_whole, sweep
from tests.unit.sync.answers import AT, MovingList, a_sync, converse, made, numbered
from tests.unit.sync.contact import Contact
from tests.unit.sync.simulated import SimulatedCluster

TOTALS: dict[str, Callable[[int], int | None]] = {
    "of this list": lambda length: length,
    "of the whole list": lambda length: 10_000,
    "missing": lambda length: None,
}
COUNTS = {"of this list": "filtered", "of the whole list": "cluster", "missing": "unknown"}
NEW = made("new", at=AT + 9)[0]


def profile_of(total: str, cap: int | None) -> Profile:
    return Profile(
        status_filter=Trait("both"),
        order=Trait("change"),
        total_count=Trait(COUNTS[total]),
        page_size=Trait(str(cap)) if cap else Trait(),
        depth=Trait("unlimited"),
    )


NO_ORDER = msgspec.structs.replace(profile_of("of this list", 100), order=Trait("none"))


class Reader:
    """Reads a moving list of running jobs, as a sync would."""

    def __init__(
        self, moving: MovingList, total: str = "of this list", *, in_order: bool = True
    ) -> None:
        self.moving = moving
        moving.total = TOTALS[total]
        self.profile = profile_of(total, moving.cap)
        status = "running" if total == "of the whole list" else None
        self.listing = ListView(BY_CHANGE if in_order else None, status)
        self.met: list[Job] = []
        self.seen = SeenInMemory()
        self.answer: Callable[[Ask], Page] = moving.answer

    def note(self, placed: PlacedPage) -> None:
        self.met += placed.jobs

    def on_page(self, placed: PlacedPage) -> bool:
        self.note(placed)
        return False

    def run(self, on_page: OnPage | None = None, **how: object) -> int | None:
        with a_sync(self.profile) as sync:
            asking = read(sync, self.listing, on_page or self.on_page, self.seen, **how)  # type: ignore[arg-type]
            return converse(asking, self.answer)

    def run_whole(self) -> int:
        with a_sync(self.profile) as sync:
            asking = read_whole(sync, self.listing, self.seen, self.note)
            return converse(asking, self.answer)

    @property
    def names(self) -> set[str]:
        return {job.uuid for job in self.met}


def all_of(moving: MovingList) -> set[str]:
    return {job.uuid for job in moving.jobs}


class TestAtRest:
    @pytest.mark.parametrize("total", TOTALS)
    @pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 30, 31, 32, 33])
    def test_every_job_is_met(self, length: int, total: str) -> None:
        moving = MovingList(numbered(length))
        reader = Reader(moving, total)
        assert reader.run() == length
        assert reader.names == all_of(moving)
        assert reader.seen.count == length

    @pytest.mark.parametrize(
        ("length", "calls"), [(0, 1), (3, 1), (4, 2), (5, 2), (7, 3), (8, 3), (100, 34)]
    )
    def test_no_call_more_than_the_overlap_needs(self, length: int, calls: int) -> None:
        """A full page is no end: a server may count only as many jobs as it shows."""
        moving = MovingList(numbered(length))
        Reader(moving).run()
        assert len(moving.asked) == calls

    @pytest.mark.parametrize("cap", [2, 3, 4, 50, 100, 1000])
    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize("total", TOTALS)
    def test_whatever_the_server_caps_pages_at(self, cap: int, known: bool, total: str) -> None:
        moving = MovingList(numbered(120), cap=cap)
        reader = Reader(moving, total)
        reader.profile = profile_of(total, min(cap, 100) if known else None)
        reader.run()
        assert reader.names == all_of(moving)

    def test_it_ends_when_told(self) -> None:
        moving = MovingList(numbered(100))
        pages: list[PlacedPage] = []

        def third(placed: PlacedPage) -> bool:
            pages.append(placed)
            return len(pages) == 3

        assert Reader(moving).run(third) is None
        assert moving.asked == [0, 3, 6]
        assert pages[-1].offset == 6

    def test_it_goes_on_from_a_page_that_was_read_already(self) -> None:
        moving = MovingList(numbered(9))
        reader = Reader(moving)
        jobs = tuple(moving.jobs[:4])
        head = PlacedPage(jobs, 0, 9, 9, reader.listing, 100, Page(jobs, 9))
        reader.run(after=head)
        assert moving.asked == [3, 6]
        assert reader.names | set(head.uuids) == all_of(moving)


class TestFromBothEnds:
    """Where the server shows a part of the list from each end: these two parts overlap."""

    @pytest.mark.parametrize(("length", "tied"), [(300, 60), (399, 0)])
    def test_jobs_of_one_second_may_have_another_order_there(self, length: int, tied: int) -> None:
        listed = JobList()
        for place in range(length):
            listed.submit(AT - place + max(0, min(place - 150, tied)), queue="q", user="u")
        contact = Contact(SimulatedCluster(in_small(DEPLOYMENTS["window"], 20), jobs=listed))
        contact.contradict("depth")
        contact.sync.found("order", "change", "")
        contact.sync.found("depth", "200", "")
        contact.sync.found("page_size", "20", "")
        seen = SeenInMemory()
        contact.hold(read(contact.sync, ListView(BY_CHANGE), lambda page: False, seen))
        assert seen.count == len(listed)


class TestMoving:
    """The list changes between two calls; whoever is in it from the first call to the last is met."""

    @pytest.mark.parametrize("total", TOTALS)
    @pytest.mark.parametrize("in_order", [True, False])
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
        self, total: str, in_order: bool, after: int, act: Callable[[list[Job]], object]
    ) -> None:
        jobs = numbered(24)
        stayed = {job.uuid for job in jobs}
        moving = MovingList(jobs, acts={after: act})
        reader = Reader(moving, total, in_order=in_order)
        reader.run()
        # What moved to the head behind the reader's back is for a look at the head to find.
        stayed &= {job.uuid for job in moving.jobs if (job.modified_at or 0) <= AT}
        assert stayed <= reader.names

    @settings(max_examples=150, deadline=None)
    @given(
        length=st.integers(0, 40),
        cap=st.integers(2, 7),
        total=st.sampled_from(sorted(TOTALS)),
        in_order=st.booleans(),
        seed=st.integers(0, 10**6),
        often=st.floats(0.1, 1.0),
    )
    def test_nor_with_any_changes(
        self, length: int, cap: int, total: str, in_order: bool, seed: int, often: float
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

        moving = MovingList(jobs, cap=cap, acts=dict.fromkeys(range(1, 15), change))
        reader = Reader(moving, total, in_order=in_order)
        try:
            reader.run()
        except SyncError:
            return  # it says that it cannot; the next sync tries again
        assert stayed <= reader.names

    @pytest.mark.parametrize("total", TOTALS)
    def test_a_list_that_always_moves_away_is_given_up(self, total: str) -> None:
        count = 0

        def replace_all(jobs: list[Job]) -> None:
            nonlocal count
            count += 1
            jobs[:] = made(*(f"{count}-{n}" for n in range(50)), at=AT - 100 * count)

        moving = MovingList(numbered(50), acts=dict.fromkeys(range(1, 400), replace_all))
        with pytest.raises(SyncError, match="moves too fast"):
            Reader(moving, total).run()
        assert len(moving.asked) < 200


class TestLies:
    """What an answer says is not taken for the end of the list, nor for the list."""

    def test_a_server_that_ignores_offsets_is_given_up(self) -> None:
        page = Page(tuple(numbered(4)), None)
        calls = 0

        def answer(_: object) -> Page:
            nonlocal calls
            calls += 1
            assert calls < 500
            return page

        reader = Reader(MovingList([]), "missing")
        reader.answer = answer
        with pytest.raises(SyncError, match="repeats itself"):
            reader.run()

    def test_if_it_was_asked_for_a_status_that_speaks_against_the_filter(self) -> None:
        reader = Reader(MovingList([]), "missing")
        reader.listing = ListView(BY_CHANGE, "running")
        reader.answer = lambda _: Page(tuple(numbered(4)), None)
        with pytest.raises(Contradiction, match="repeats itself") as raised:
            reader.run()
        assert raised.value.trait == "status_filter"

    @pytest.mark.parametrize("total", TOTALS)
    def test_an_empty_page_in_the_middle_is_not_the_end(self, total: str) -> None:
        moving = MovingList(numbered(24))
        reader = Reader(moving, total)

        def answer(ask: Ask) -> Page:
            page = moving.answer(ask)
            return Page((), page.total_count) if len(moving.asked) == 3 else page

        reader.answer = answer
        with suppress(Contradiction):  # where a total says that more must come
            reader.run()
            assert reader.names == all_of(moving)

    def test_a_total_that_is_too_small_does_not_end_it(self) -> None:
        reader = Reader(MovingList(numbered(24)))
        reader.moving.total = lambda length: 3
        with pytest.raises(Contradiction) as raised:
            reader.run()
        assert raised.value.trait == "total_count"

    def test_a_page_of_one_job_with_more_to_come_is_not_the_end(self) -> None:
        """A gateway cuts an answer short; the total still says how many there are."""
        moving = MovingList(numbered(24))
        reader = Reader(moving)

        def answer(ask: Ask) -> Page:
            page = moving.answer(ask)
            return Page(page.jobs[:1], page.total_count) if len(moving.asked) == 3 else page

        reader.answer = answer
        with suppress(Contradiction):
            reader.run()
            assert reader.names == all_of(moving)

    def test_pages_that_are_cut_before_they_are_filtered_do_not_end_it(self) -> None:
        """Every second job is in the status: each page has half, and the total is right."""
        listed = [
            job._replace(status="running" if n % 2 else "pending")
            for n, job in enumerate(numbered(60))
        ]
        running = [job for job in listed if job.status == "running"]

        def answer(ask: Ask) -> Page:
            cut = listed[ask.query.offset : ask.query.offset + 10]
            return Page([job for job in cut if job.status == "running"], len(running))

        reader = Reader(MovingList(running, cap=10))
        reader.listing = ListView(BY_CHANGE, "running")
        reader.answer = answer
        with suppress(SyncError):
            reader.run_whole()
            assert reader.names == {job.uuid for job in running}


class TestWhole:
    """A list is whole when as many jobs were met as it has."""

    @pytest.mark.parametrize("total", TOTALS)
    @pytest.mark.parametrize("seed", range(5))
    def test_pages_that_join_by_luck_are_read_again(self, total: str, seed: int) -> None:
        """Ties are shown in another order at every call."""
        dice = Random(seed)
        jobs = [job._replace(modified_at=AT) for job in numbered(24)]
        shuffle = dict.fromkeys(range(1, 2000), dice.shuffle)
        moving = MovingList(jobs, cap=9, acts=shuffle)
        reader = Reader(moving, total)
        assert reader.run_whole() == 24
        assert reader.names == all_of(moving)

    @pytest.mark.parametrize("total", TOTALS)
    def test_what_is_inserted_meanwhile_is_read_too(self, total: str) -> None:
        moving = MovingList(numbered(24), cap=9, acts={2: lambda jobs: jobs.insert(0, NEW)})
        reader = Reader(moving, total)
        reader.run_whole()
        assert all_of(moving) - {NEW.uuid} <= reader.names
        assert NEW.uuid in reader.names or total != "of this list"
        assert len(moving.asked) <= 6

    def test_a_total_that_is_never_reached_is_contradicted(self) -> None:
        reader = Reader(MovingList(numbered(20)))
        reader.listing = ListView(BY_CHANGE, "running")
        reader.moving.total = lambda length: length + 1
        with pytest.raises(Contradiction) as raised:
            reader.run_whole()
        assert raised.value.trait == "total_count"
        assert len(reader.moving.asked) < 500

    @pytest.mark.parametrize(
        ("depth", "trait"), [("unknown", "depth"), ("unlimited", "total_count")]
    )
    def test_one_that_ends_where_servers_stop_may_be_longer_than_they_show(
        self, depth: str, trait: str
    ) -> None:
        reader = Reader(MovingList(numbered(200), cap=100))
        reader.profile = msgspec.structs.replace(reader.profile, depth=Trait(depth))
        reader.listing = ListView(BY_CHANGE, "running")
        reader.moving.total = lambda length: length + 100
        with pytest.raises(Contradiction) as raised:
            reader.run_whole()
        assert raised.value.trait == trait

    @pytest.mark.parametrize("length", [100, 200, 500, 1_000, 2_000])
    @pytest.mark.parametrize("total", ["of the whole list", "of this list"])
    def test_a_status_may_have_any_number_of_jobs(self, total: str, length: int) -> None:
        """Also as many as some servers show at most of a list."""
        moving = MovingList(numbered(length), cap=100)
        reader = Reader(moving, total)
        reader.listing = ListView(BY_CHANGE, "running")
        assert reader.run_whole() == length
        assert reader.names == all_of(moving)


class TestSweep:
    """All jobs in a status; those that were in it, and are not any more, are set aside."""

    def swept(
        self,
        known: Sequence[Job],
        *lists: Sequence[Job],
        profile: Profile | None = None,
        collapse_at: float | None = None,
    ) -> Sync:
        """A sweep of a server whose list is another one each time that it is read."""
        readings = [list(each) for each in lists]

        def answer(ask: Ask) -> Page:
            jobs = readings[0]
            if ask.query.offset + ask.query.limit >= len(jobs) and len(readings) > 1:
                readings.pop(0)
            return Page(jobs[ask.query.offset : ask.query.offset + ask.query.limit], len(jobs))

        with a_sync(profile or profile_of("of this list", 100), known, expected=5_000) as sync:
            sync.memory.collapse_at = collapse_at
            converse(sweep(sync, "running"), answer)
            self.counts = {
                status: sync.ledger.count_status(status) for status in ("running", "", "pending")
            }
            return sync

    def test_it_knows_them_afterwards(self) -> None:
        self.swept(numbered(30), numbered(40))
        assert self.counts == {"running": 40, "": 0, "pending": 0}

    def test_those_that_left_are_set_aside(self) -> None:
        sync = self.swept(numbered(30), numbered(25))
        assert self.counts == {"running": 25, "": 5, "pending": 0}
        assert {job.status for job in sync.set_aside.values()} == {"running"}

    def test_many_that_left_at_once_are_asked_for_again(self) -> None:
        self.swept(numbered(60), numbered(5), numbered(60))
        assert self.counts == {"running": 60, "": 0, "pending": 0}

    def test_twice_is_believed_where_each_of_them_will_be_looked_up(self) -> None:
        self.swept(numbered(60), numbered(5))
        assert self.counts == {"running": 5, "": 55, "pending": 0}

    def test_elsewhere_not_by_the_first_sync_that_sees_it(self) -> None:
        with pytest.raises(CollapseUnconfirmed):
            self.swept(numbered(60), numbered(5), profile=NO_ORDER)

    def test_but_by_the_next(self) -> None:
        self.swept(numbered(60), numbered(5), profile=NO_ORDER, collapse_at=AT)
        assert self.counts == {"running": 5, "": 55, "pending": 0}

    def test_where_answers_may_be_behind_those_stay_that_have_just_changed(self) -> None:
        """Perhaps the answer is older than they are."""
        known = numbered(10, at=AT + 100)
        self.swept(known, [], profile=profile_of("of this list", 100).found("lag", "5", "", AT))
        assert self.counts == {"running": 6, "": 4, "pending": 0}

    @pytest.mark.parametrize(
        ("told", "value"),
        [(30, "filtered"), (5_000, "cluster"), (77, "unknown"), (None, "unknown")],
    )
    def test_it_shows_what_totals_count(self, told: int | None, value: str) -> None:
        profile = Profile(
            status_filter=Trait("both"), order=Trait("change"), page_size=Trait("100")
        )
        with a_sync(profile, expected=5_000) as sync:
            jobs = numbered(30)
            answer = lambda ask: Page(jobs[ask.query.offset :], told)  # noqa: E731
            converse(sweep(sync, "running"), answer)
            assert sync.profile.total_count.value == value
