"""Every page is asked for as the profile says that it must be, and held against it."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import RefusedError, SyncError
from exporter.ledger.records import Progress
from exporter.model import NO_STATUS, Job, JobListQuery, Page
from exporter.profile import Profile, Trait
from exporter.sync.asking import Ask, CollapseUnconfirmed, Contradiction, advance
from exporter.sync.context import (
    BY_CHANGE,
    BY_DEFAULT,
    BY_SUBMISSION,
    INFINITE,
    ListView,
    PlacedPage,
    Sync,
    collapsed,
)
from exporter.sync.pages import ask
from exporter.sync.verify import verify_total
from tests.unit.sync.answers import AT, MovingList, a_sync, converse, numbered
from tests.unit.sync.simulated import SimulatedCluster, plenty

WHOLE = ListView(BY_CHANGE)
KNOWN = Profile(
    status_filter=Trait("both"),
    order=Trait("change"),
    total_count=Trait("filtered"),
    page_size=Trait("10"),
    depth=Trait("unlimited"),
)


@pytest.fixture
def sync() -> Iterator[Sync]:
    """Of a server that is well known."""
    with a_sync(KNOWN) as made:
        yield made


class Answers:
    """Pages in turn, the last one again and again; keeps what was asked."""

    def __init__(self, *pages: Page) -> None:
        self.pages = list(pages)
        self.asked: list[JobListQuery] = []

    def __call__(self, asked: Ask) -> Page:
        self.asked.append(asked.query)
        return self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]


def page(first: int, count: int, total: int | None) -> Page:
    """So many jobs from a place on."""
    return Page(tuple(numbered(first + count)[first:]), total)


def asked_of(
    sync: Sync, listing: ListView, *pages: Page, offset: int = 0, limit: int = 100
) -> PlacedPage:
    return converse(ask(sync, listing, offset, limit=limit), Answers(*pages))


def placed_at(offset: int, count: int) -> PlacedPage:
    shown = Page(tuple(numbered(count)), None)
    return PlacedPage(shown.jobs, offset, None, None, WHOLE, 100, shown)


class TestOrder:
    @pytest.mark.parametrize(
        ("times", "sorted_"),
        [
            ((), True),
            ((5,), True),
            ((5, 5, 5), True),
            ((5, 4, 4, 1), True),
            ((5, 4, 6), False),
            ((1, 2), False),
            ((5, None, None), True),
            ((None, 5), False),
        ],
    )
    def test_newest_first(self, times: tuple[int | None, ...], sorted_: bool) -> None:
        jobs = [
            job._replace(modified_at=at)
            for job, at in zip(numbered(len(times)), times, strict=True)
        ]
        assert BY_CHANGE.sorts(jobs) is sorted_

    @given(st.lists(st.integers(0, 5), max_size=6))
    def test_it_is_what_sorting_says(self, times: list[int]) -> None:
        jobs = [
            job._replace(modified_at=at, submitted_at=9)
            for job, at in zip(numbered(len(times)), times, strict=True)
        ]
        assert BY_CHANGE.sorts(jobs) == (times == sorted(times, reverse=True))
        assert BY_SUBMISSION.sorts(jobs)

    def test_a_time_that_is_missing_is_the_oldest(self) -> None:
        job = Job("u", "running", "q", "v", 1, None, None, None)
        assert BY_CHANGE.moment(job) == BY_SUBMISSION.moment(job) == 0
        assert BY_CHANGE.moment(job._replace(modified_at=AT)) == AT

    @pytest.mark.parametrize(
        ("value", "order"),
        [
            ("unknown", None),
            ("none", None),
            ("change", BY_CHANGE),
            ("change_only", BY_CHANGE),
            ("submission", BY_SUBMISSION),
            ("default", BY_DEFAULT),
        ],
    )
    def test_what_the_profile_gives(self, sync: Sync, value: str, order: object) -> None:
        sync.memory.profile = replaced(KNOWN, order=value)
        assert sync.order is order


def replaced(profile: Profile, **values: str) -> Profile:
    for name, value in values.items():
        profile = profile.found(name, "other", "", 0.0)  # type: ignore[arg-type]
        profile = profile.found(name, value, "", 0.0)  # type: ignore[arg-type]
    return profile


@pytest.mark.parametrize(
    ("newest_at", "last_success_at", "known"),
    [
        (None, None, None),
        (None, AT + 0.0, None),
        (AT, None, None),
        (AT, AT + 60.5, AT - 10),  # nothing has changed for a minute
        (AT + 10**8, AT + 60.5, AT + 50),  # a job from the future
        (AT - 28800, AT + 60.5, AT - 28810),  # stamps that lie behind the clock
    ],
)
def test_what_is_known_up_to(
    newest_at: int | None, last_success_at: float | None, known: int | None
) -> None:
    cluster = SimulatedCluster()
    with cluster.ledger.transaction():
        cluster.ledger.progress = Progress(newest_at=newest_at, last_success_at=last_success_at)
    assert cluster.replica._sync(AT + 70.0, plenty).intake.known_up_to_at == known


class TestWhatIsSent:
    @pytest.mark.parametrize(
        ("value", "names"),
        [
            ("unknown", ("jobs_status", "job_status")),
            ("both", ("jobs_status", "job_status")),
            ("jobs_status", ("jobs_status",)),
            ("job_status", ("job_status",)),
        ],
    )
    def test_the_name_of_the_filter(self, sync: Sync, value: str, names: tuple[str, ...]) -> None:
        sync.memory.profile = replaced(KNOWN, status_filter=value)
        answers = Answers(page(0, 5, 5))
        converse(ask(sync, ListView(BY_CHANGE, "running")), answers)
        (query,) = answers.asked
        assert (query.status, query.filter_names) == ("running", names)

    @pytest.mark.parametrize(
        ("order", "sort_key"),
        [
            (BY_CHANGE, "modified_time"),
            (BY_SUBMISSION, "submitted_time"),
            (BY_DEFAULT, None),
            (None, None),
        ],
    )
    def test_the_order(self, sync: Sync, order: object, sort_key: str | None) -> None:
        answers = Answers(page(0, 5, 5))
        converse(ask(sync, ListView(order)), answers)  # type: ignore[arg-type]
        assert (answers.asked[0].sort_key, answers.asked[0].descending) == (sort_key, True)

    @pytest.mark.parametrize(
        ("offset", "sent", "limit", "descending"),
        [(0, 0, 100, True), (900, 900, 100, True), (901, 499, 100, False), (1_400, 0, 100, False)],
    )
    def test_beyond_its_depth_a_list_is_asked_for_from_its_other_end(
        self, sync: Sync, offset: int, sent: int, limit: int, descending: bool
    ) -> None:
        sync.memory.profile = replaced(KNOWN, depth="1000", page_size="100")
        sync.update(expected=1_500)
        first = offset if descending else 1_500 - sent - 100
        shown = page(first, 100, 1_500)
        if not descending:
            shown = replace(shown, jobs=tuple(reversed(shown.jobs)))
        answers = Answers(shown)
        placed = converse(ask(sync, WHOLE, offset), answers)
        (query,) = answers.asked
        assert (query.offset, query.limit, query.descending) == (sent, limit, descending)
        assert placed.offset == offset
        assert placed.uuids == [job.uuid for job in page(offset, 100, None).jobs]

    def test_what_neither_end_shows_is_said_to_be_so(self, sync: Sync) -> None:
        sync.memory.profile = replaced(KNOWN, depth="1000", page_size="100")
        sync.update(expected=2_500)
        with pytest.raises(SyncError, match="no more than 1000 jobs") as raised:
            advance(ask(sync, WHOLE, 1_200), None)
        assert raised.value.reason == "depth"


class TestWhatContradicts:
    """The profile: each is one trait, with its evidence."""

    def trait(self, sync: Sync, listing: ListView, *pages: Page, offset: int = 0) -> str:
        with pytest.raises(Contradiction) as raised:
            asked_of(sync, listing, *pages, offset=offset)
        return raised.value.trait

    def test_a_page_out_of_order(self, sync: Sync) -> None:
        jobs = numbered(10)
        assert self.trait(sync, WHOLE, Page((*jobs[5:], *jobs[:5]), 10)) == "order"

    def test_not_where_no_order_was_asked_for(self, sync: Sync) -> None:
        jobs = numbered(10)
        assert len(asked_of(sync, ListView(), Page((*jobs[5:], *jobs[:5]), 10)).jobs) == 10

    def test_a_job_in_another_status_than_was_asked_for(self, sync: Sync) -> None:
        jobs = [numbered(5)[0]._replace(status="pending"), *numbered(5)[1:]]
        assert self.trait(sync, ListView(BY_CHANGE, "running"), Page(jobs, 5)) == "status_filter"

    def test_not_one_that_cannot_be_counted(self, sync: Sync) -> None:
        jobs = [numbered(5)[0]._replace(status=NO_STATUS), *numbered(5)[1:]]
        assert len(asked_of(sync, ListView(BY_CHANGE, "running"), Page(jobs, 5)).jobs) == 5

    def test_a_list_that_goes_on_beyond_its_total(self, sync: Sync) -> None:
        assert self.trait(sync, WHOLE, page(90, 10, 95), offset=90) == "total_count"

    def test_a_short_page_that_others_follow(self, sync: Sync) -> None:
        assert self.trait(sync, WHOLE, page(0, 7, 95), page(7, 7, 95)) == "page_size"

    def test_a_list_that_ends_before_its_total(self, sync: Sync) -> None:
        trait = self.trait(sync, WHOLE, page(10, 7, 95), page(17, 0, 95), offset=10)
        assert trait == "depth"

    def test_a_page_that_is_as_short_as_the_end_of_the_list_is_none(self, sync: Sync) -> None:
        assert asked_of(sync, WHOLE, page(90, 5, 95), offset=90).end == 95

    @pytest.mark.parametrize(
        ("reason", "listing", "offset", "trait"),
        [
            ("request", WHOLE, 0, "order"),
            ("client", WHOLE, 0, "order"),
            ("request", WHOLE, 50, "depth"),
            ("internal", WHOLE, 50, "depth"),
            ("request", ListView(BY_CHANGE, "running"), 0, "status_filter"),
            ("internal", WHOLE, 0, None),
            ("internal", ListView(BY_CHANGE, "running"), 0, None),
            ("internal", ListView(BY_CHANGE, "running"), 50, "depth"),
            ("denied", WHOLE, 0, None),
            ("denied", WHOLE, 50, None),
            ("quota", ListView(BY_CHANGE, "running"), 0, None),
        ],
    )
    def test_a_refusal(
        self, sync: Sync, reason: str, listing: ListView, offset: int, trait: str | None
    ) -> None:
        asking = ask(sync, listing, offset)
        advance(asking, None)
        error = RefusedError(1, reason, "no", retryable=False, advice="")
        with pytest.raises((Contradiction, RefusedError)) as raised:
            advance(asking, error)
        assert getattr(raised.value, "trait", None) == trait
        assert raised.value is error or raised.value.__cause__ is error


class TestTotals:
    @pytest.mark.parametrize(
        ("value", "status", "believed"),
        [
            ("unknown", None, 40), ("filtered", None, 40), ("cluster", None, 40),
            ("unknown", "running", None), ("filtered", "running", 40), ("cluster", "running", None),
            ("none", "running", None),
        ],
    )  # fmt: skip
    def test_which_are_believed(
        self, sync: Sync, value: str, status: str | None, believed: int | None
    ) -> None:
        sync.memory.profile = replaced(KNOWN, total_count=value)
        assert asked_of(sync, ListView(BY_CHANGE, status), page(0, 10, 40)).total == believed


class TestLength:
    """Of a sorted list whose total is not to be believed: measured with each head, by where the list ends."""

    @pytest.mark.parametrize(
        ("length", "known", "most_calls"),
        [
            (37, 37, 1),
            (36, 37, 1),
            (40, 37, 1),
            (41, 37, 2),
            (0, 37, 15),
            (900, 37, 13),
            (37, 0, 7),
        ],
    )
    @pytest.mark.parametrize("told", [0, 30, 50, 10_000])
    def test_where_the_list_ends(
        self, sync: Sync, length: int, known: int, most_calls: int, told: int
    ) -> None:
        sync.memory.profile = replaced(KNOWN, total_count="none")
        sync.update(expected=known)
        jobs = MovingList(numbered(length), cap=10, total=lambda _: told)
        sync.memory.collapse_at = 0.0  # it may have become shorter
        shown = converse(ask(sync, WHOLE), jobs.answer)
        assert (shown.total, sync.progress.expected) == (length, length)
        assert len(jobs.asked) <= 1 + most_calls
        assert converse(ask(sync, WHOLE, 1 + length // 2), jobs.answer).total == length
        assert len(jobs.asked) <= 2 + most_calls

    def test_a_list_that_grows_is_longer_than_it_was_measured(self, sync: Sync) -> None:
        sync.memory.profile = replaced(KNOWN, total_count="none")
        jobs = MovingList(numbered(37), cap=10)
        converse(ask(sync, WHOLE), jobs.answer)
        jobs.jobs += numbered(41)[37:]
        assert converse(ask(sync, WHOLE, 32), jobs.answer).total == 41

    def test_a_server_that_shows_no_end_has_no_order_to_follow(self, sync: Sync) -> None:
        sync.memory.profile = replaced(KNOWN, total_count="none")
        with pytest.raises(Contradiction, match="end of the list") as contradiction:
            asked_of(sync, WHOLE, page(0, 10, None))
        assert contradiction.value.trait == "order"

    def test_a_page_that_might_reach_beyond_a_depth_reaches_beyond_the_total(
        self, sync: Sync
    ) -> None:
        """The server has refused a page once: a total that is too small must show all the same."""
        trait = Trait("unlimited", contradictions=1)
        sync.memory.profile = msgspec.structs.replace(KNOWN, depth=trait)
        sync.update(expected=247)
        with pytest.raises(Contradiction) as contradiction:
            converse(
                ask(sync, WHOLE, 240), MovingList(numbered(250), cap=10, total=lambda _: 247).answer
            )
        assert contradiction.value.trait == "total_count"


class TestCollapse:
    """A large part of the list seems to be gone: the same is asked again, not as a cache knows it."""

    @pytest.mark.parametrize(
        ("known", "left", "collapse"),
        [
            (0, 0, False), (20, 0, True), (20, 10, False), (20, 9, True), (100, 70, False), (6_000, 0, True),
            (6_000, 5_900, False), (6_000, 3_000, True), (100, 200, False),
        ],
    )  # fmt: skip
    def test_table(self, known: int, left: int, collapse: bool) -> None:
        assert collapsed(known, left) is collapse

    def asked(
        self, *pages: Page, claimed_at: float | None = None, total: str = "filtered"
    ) -> Answers:
        with a_sync(replaced(KNOWN, total_count=total), expected=500) as sync:
            sync.memory.collapse_at = claimed_at
            answers = Answers(*pages)
            converse(ask(sync, WHOLE), answers)
            return answers

    def test_one_that_is_taken_back_costs_one_call(self) -> None:
        answers = self.asked(page(0, 0, 0), page(0, 10, 500))
        assert [query.limit for query in answers.asked] == [100, 99]

    def test_one_that_stands_is_not_believed_by_this_sync(self) -> None:
        with pytest.raises(CollapseUnconfirmed):
            self.asked(page(0, 3, 3))

    @pytest.mark.parametrize("claimed_at", [AT, AT + 3600])  # the clock may have been set back
    def test_but_by_one_that_knows_of_it(self, claimed_at: float) -> None:
        assert len(self.asked(page(0, 3, 3), claimed_at=claimed_at).asked) == 1

    def test_without_a_total_an_empty_head_is_one(self) -> None:
        with pytest.raises(CollapseUnconfirmed):
            self.asked(page(0, 0, None))
        assert len(self.asked(page(0, 3, None)).asked) == 1


class TestPageSize:
    @pytest.mark.parametrize(
        ("known", "answer", "limit", "size"),
        [
            ("unknown", page(0, 100, 200), 100, "100"),
            ("unknown", page(0, 20, 200), 100, "20"),
            ("unknown", page(0, 20, 20), 100, "unknown"),
            ("unknown", page(0, 20, None), 100, "unknown"),
            ("20", page(0, 50, 200), 100, "50"),
            # A page of a few that were asked for says nothing.
            ("unknown", page(0, 1, 200), 1, "unknown"),
        ],
    )
    def test_what_a_page_teaches(self, known: str, answer: Page, limit: int, size: str) -> None:
        profile = Profile(total_count=Trait("filtered"), page_size=Trait(known))
        with a_sync(profile) as sync:
            asked_of(sync, ListView(), answer, limit=limit)
            assert sync.profile.page_size.value == size

    @pytest.mark.parametrize(
        ("jobs", "pages"), [(0, 1), (1, 1), (99, 1), (100, 2), (198, 2), (199, 3)]
    )
    def test_pages_for(self, sync: Sync, jobs: int, pages: int) -> None:
        sync.memory.profile = replaced(KNOWN, page_size="100")
        assert sync.pages_for(jobs) == pages


def test_where_answers_may_be_behind_only_what_has_stood_is_suspected() -> None:
    def suspected(lag: str) -> int:
        with a_sync(replaced(KNOWN, lag=lag), numbered(10, at=AT + 100)) as sync:
            sync.suspect_absent(BY_CHANGE, float("inf"), AT, placed_at(0, 0))
            return sync.ledger.suspects

    assert suspected("unknown") == 10
    assert suspected("5") == 5


@pytest.mark.parametrize(
    ("moved_at", "past"), [(AT + 95, False), (AT + 50, True), (AT + 3600, True), (INFINITE, False)]
)
def test_a_lag_is_over_also_if_the_clock_was_set_back(moved_at: float, past: bool) -> None:
    with a_sync(replaced(KNOWN, lag="20"), numbered(10), newest_at=AT, expected=11) as sync:
        sync.memory.moved_at = sync.memory.mismatch_at = moved_at
        assert sync.past_lag is past
        if moved_at < INFINITE:
            answers = Answers(page(0, 10, 10))
            converse(verify_total(sync, BY_CHANGE), answers)
            assert bool(answers.asked) is past


@pytest.mark.parametrize(("frontier_at", "suspected"), [(AT - 500, 9), (None, 10)])
def test_nor_where_no_total_tells_what_has_an_older_record(
    frontier_at: int | None, suspected: int
) -> None:
    jobs = numbered(10, at=AT + 50)
    with a_sync(KNOWN, jobs, newest_at=AT + 50, frontier_at=frontier_at) as sync:
        sync.intake.take([jobs[0]._replace(modified_at=AT - 400)])
        sync.suspect_absent(BY_CHANGE, float("inf"), AT, placed_at(0, 0))
        assert sync.ledger.suspects == suspected


def test_where_a_page_ends() -> None:
    placed = placed_at(7, 3)
    assert (placed.end, placed.uuids) == (10, ["job-0000", "job-0001", "job-0002"])
