"""What happens between two calls, or between two syncs, while something is only half read."""

from contextlib import suppress
from dataclasses import replace

import pytest

from exporter.errors import SyncError
from exporter.model import JobListQuery, Page, Purpose
from exporter.simulator import DIALECTS, JobList, fill
from exporter.sync.asking import Ask, Asking, Contradiction, Finished, advance
from exporter.sync.context import SyncSettings
from tests.unit.sync.settled import (
    SETTINGS,
    TURNS_OF_AN_AUDIT_INTERVAL,
    Traffic,
    newest_change_first,
    settled,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster, plenty

DAY = 86400.0
WHOLE = SETTINGS
WINDOWED = replace(SETTINGS, history_seconds=120 * DAY)
"""The lists here are shorter, so the counts must be the same; but no total can be compared."""

every_way_of_counting = pytest.mark.parametrize(
    ("dialect", "settings"),
    [("documented", WHOLE), ("total-whole", WHOLE), ("documented", WINDOWED)],
    ids=["total", "whole-total", "window"],
)


class UnhurriedBackground:
    """A background that goes on from one sync to the next, as a budget makes the poller's do."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.cluster = cluster
        self.going_on: tuple[Asking[None], Ask] | None = None

    def go_on(self, calls: int = 10**6, *, before_offset: int = 10**9) -> None:
        """Make so many calls, as far as they are allowed, and none at that offset or beyond."""
        for _ in range(calls):
            while self.going_on is None:
                if not self._begin():
                    return
            asking, ask = self.going_on
            if ask.query.offset >= before_offset or self.cluster.allowance(ask.purpose) < 1:
                return
            page = self.cluster.list_jobs(ask.query)
            with self.cluster.ledger.transaction():
                self._next(asking, advance(asking, page))

    def turn(self, calls: int = 10**6) -> dict[str, int]:
        """A sync, and so many calls after it. Returns what the sync had to correct."""
        self.cluster.now_at += 60
        refreshed = self.cluster.refresh()
        self.go_on(calls)
        return refreshed.corrections

    def _begin(self) -> bool:
        cluster = self.cluster
        asking = cluster.replica.background(cluster.now_at, cluster.allowance)
        if asking is None:
            return False
        with cluster.ledger.transaction():
            self._next(asking, advance(asking, None))
        return True

    def _next(self, asking: Asking[None], step: Ask | Finished[None]) -> None:
        self.going_on = (asking, step) if isinstance(step, Ask) else None


def unread(dialect: str = "documented", settings: SyncSettings = WHOLE) -> SimulatedCluster:
    """A cluster of which nothing is known yet."""
    listed = JobList()
    fill(listed, 3_000, active=5, now_at=START_AT - 5)
    return SimulatedCluster(DIALECTS[dialect], settings, jobs=listed)


def come_and_go(cluster: SimulatedCluster, jobs: int, *, seconds: float) -> None:
    """New jobs, each of which ends at once."""
    for _ in range(jobs):
        cluster.now_at += seconds
        uuid = cluster.jobs.submit(cluster.now_at, queue="gpu", user="u")
        cluster.jobs.start(uuid, cluster.now_at)
        cluster.jobs.end(uuid, cluster.now_at)


def is_right(cluster: SimulatedCluster) -> bool:
    return cluster.counted() == cluster.true_counts()


@every_way_of_counting
def test_a_deletion_far_above_does_not_hide_a_job_of_a_second_that_is_being_read(
    dialect: str, settings: SyncSettings
) -> None:
    """All jobs of an array were cancelled at once, so the last change of a page's first job says
    nothing of whether the page joins the one before. Two jobs are deleted above it meanwhile: one
    of the array, the other far above. As the ledger still has both, its size is right."""
    cluster = unread(dialect, settings)
    at = START_AT - 60 * DAY
    array = [cluster.jobs.submit(at, queue=f"q{n % 7}", user="u") for n in range(300)]
    for uuid in array:
        cluster.jobs.cancel(uuid, at + 2)
    ranks = newest_change_first(cluster.jobs)
    first_rank = min(ranks.index(uuid) for uuid in array)
    deleted = [ranks[300], ranks[first_rank + 30]]

    def delete_amid_the_array(query: JobListQuery) -> None:
        reading = cluster.profile.order.value == "change" and query.status is None
        if reading and query.offset > first_rank + 150:
            cluster.jobs.delete(uuid for uuid in deleted if uuid in cluster.jobs)

    cluster.before_call = delete_amid_the_array
    for _ in range(2 * TURNS_OF_AN_AUDIT_INTERVAL):
        with suppress(SyncError):  # the history may have to be read on in the next turn
            cluster.turn()
    assert deleted[0] not in cluster.jobs
    assert cluster.ledger.progress.complete
    assert is_right(cluster)
    assert cluster.ledger.known(ranks).keys() == {*ranks} - {*deleted}


def test_a_job_that_a_sync_has_seen_joins_no_page_to_a_scan() -> None:
    """A scan has been read down to a page when the sweep of a sync sees a job that stands there and
    waits. Then two jobs above are deleted, so that the page begins with just that job."""
    cluster = unread("sort-ignored-by-id")
    rank = 22 * 99
    ranks = [job.uuid for job in sorted(cluster.jobs.jobs(), key=lambda job: job.job_id)]
    cluster.jobs.edit(ranks[rank + 2], START_AT - 9, status="pending", moves_modified=True)
    background = UnhurriedBackground(cluster)
    cluster.refresh()
    background.go_on(before_offset=rank)
    assert background.going_on is not None
    assert background.going_on[1].query.offset == rank
    assert background.going_on[1].query.sort_key is None
    cluster.now_at += 60
    cluster.refresh()
    cluster.jobs.delete([ranks[300], ranks[rank - 5]])
    background.go_on()
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn()
    assert is_right(cluster)


@every_way_of_counting
def test_a_gap_is_not_read_by_who_was_reading_below_it(
    dialect: str, settings: SyncSettings
) -> None:
    """There is an outage in the middle of the first reading. The sync after it can afford to read
    only a part of what has changed; then the reading goes on from where it had got to."""
    cluster = unread(dialect, settings)
    background = UnhurriedBackground(cluster)
    background.turn(calls=10)
    background.turn(calls=5)
    assert background.going_on is not None
    come_and_go(cluster, 1_500, seconds=10)
    cluster.allowance = lambda _: 8
    background.turn(calls=1)
    assert not cluster.ledger.progress.complete
    cluster.allowance = plenty
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        background.turn(calls=20)
        assert is_right(cluster) or not cluster.ledger.progress.complete
    assert cluster.ledger.progress.complete
    assert is_right(cluster)


@every_way_of_counting
class TestAGapThatATimeWithoutOrderLeaves:
    """One head was not sorted, and while nobody relied on the order more jobs changed than a head
    shows. When the order is back, there are no calls yet to read what lies between."""

    def with_gap(self, dialect: str, settings: SyncSettings) -> UnhurriedBackground:
        cluster = settled(1_500, dialect, settings)
        cluster.allowance = lambda purpose: 0 if purpose is Purpose.HISTORY else 10**9
        background = UnhurriedBackground(cluster)
        show_an_unsorted_head(background)
        come_and_go(cluster, 400, seconds=0.1)
        return background

    def test_what_it_holds_does_not_count_as_missing(
        self, dialect: str, settings: SyncSettings
    ) -> None:
        background = self.with_gap(dialect, settings)
        cluster = background.cluster
        for _ in range(3):
            assert background.turn() == {}
        assert not cluster.ledger.progress.complete
        self.read_it(background)

    def test_another_such_time_does_not_close_it(
        self, dialect: str, settings: SyncSettings
    ) -> None:
        background = self.with_gap(dialect, settings)
        cluster = background.cluster
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL + 1):
            background.turn()
        show_an_unsorted_head(background)
        for _ in range(4):
            assert background.turn() == {}
            assert not cluster.ledger.progress.complete
        self.read_it(background, unsorted_heads=2)

    def test_a_job_that_has_ended_within_it_is_not_taken_for_deleted(
        self, dialect: str, settings: SyncSettings
    ) -> None:
        """A sweep shows that it has left its status; where it stands now, nobody has read yet."""
        background = self.with_gap(dialect, settings)
        Traffic(background.cluster).pass_by(400, seconds=0.1)
        for _ in range(3):
            assert background.turn() == {}
        self.read_it(background)

    def read_it(self, background: UnhurriedBackground, *, unsorted_heads: int = 1) -> None:
        """It takes no more calls than the gap has pages, and a few for the audits."""
        cluster = background.cluster
        cluster.allowance = plenty
        before = cluster.calls
        for _ in range(3):
            assert background.turn() == {}
        assert cluster.ledger.progress.complete
        assert is_right(cluster)
        assert cluster.profile.order.contradictions == unsorted_heads
        assert cluster.calls - before <= 40


def show_an_unsorted_head(background: UnhurriedBackground) -> None:
    def mess_up(page: Page) -> Page:
        return replace(page, jobs=(*page.jobs[50:], *page.jobs[:50]))

    background.cluster.distort = mess_up
    with pytest.raises(Contradiction):
        background.turn()
    background.cluster.distort = lambda page: page
