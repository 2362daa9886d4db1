"""The history is read on in the background, at what its pages cost, and nothing of it is lost."""

from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from exporter.errors import SyncError, TransportError
from exporter.model import JobListQuery, Purpose
from exporter.simulator import DIALECTS, DOCUMENTED, TieOrder
from tests.unit.sync.settled import (
    SETTINGS,
    TURNS_OF_AN_AUDIT_INTERVAL,
    Traffic,
    fresh,
    rest_for_one_audit_interval,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster


class TestReading:
    @pytest.mark.parametrize(
        "name", ["documented", "total-missing", "small-pages", "ties-reversed"]
    )
    def test_it_costs_what_its_pages_cost(self, name: str) -> None:
        cluster = fresh(3_000, DIALECTS[name])
        for _ in range(3):
            cluster.turn()
        assert cluster.ledger.progress.complete
        assert cluster.counted() == cluster.true_counts()
        cap = DIALECTS[name].page_cap
        assert cluster.calls <= 1.25 * 3_000 / (cap - 1) + 20

    def test_a_few_calls_a_turn_are_enough_in_the_end(self) -> None:
        cluster = fresh(3_000)
        for _ in range(40):
            cluster.now_at += 60
            cluster.refresh()
            cluster.background(most_calls=2)
        assert cluster.ledger.progress.complete
        assert cluster.counted() == cluster.true_counts()

    def test_no_call_is_made_that_the_budget_does_not_leave(self) -> None:
        cluster = fresh(3_000)
        asking = cluster.replica.refresh(cluster.now_at, lambda purpose: 0)
        assert asking is not None
        cluster.refresh()
        before = cluster.calls
        for _ in range(3):
            cluster.now_at += 60
            with cluster.ledger.transaction():
                refresh = cluster.replica.refresh(cluster.now_at, lambda purpose: 0)
                query = next(refresh)
                while True:
                    assert query.purpose is Purpose.FRESH
                    try:
                        query = refresh.send(cluster.list_jobs(query.query))
                    except StopIteration:
                        break
        assert cluster.calls - before <= 20

    @pytest.mark.parametrize("seed", range(2))
    def test_while_the_list_moves(self, seed: int) -> None:
        cluster = fresh(3_000, replace(DOCUMENTED, page_cap=50), seed=seed)
        traffic = Traffic(cluster, seed)
        dice = Random(seed)
        ended = [job.uuid for job in cluster.jobs.jobs() if job.status == "finished"]
        dice.shuffle(ended)

        def between() -> None:
            traffic.pass_by(dice.randrange(3))
            cluster.jobs.delete([ended.pop()] if dice.random() < 0.3 else [])

        cluster.between_calls = between
        for _ in range(4):
            cluster.now_at += 60
            with suppress(SyncError):  # jobs are deleted faster than they are searched
                cluster.refresh()
                cluster.background(most_calls=60)
        cluster.between_calls = lambda: None
        for _ in range(12):
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()
        assert cluster.ledger.progress.complete

    def test_failures_on_the_way_lose_nothing(self) -> None:
        cluster = fresh(3_000)
        dice = Random(2)

        def trouble(query: JobListQuery) -> None:
            if dice.random() < 0.2:
                raise TransportError("timeout", "no answer", retryable=True, advice="")

        cluster.before_call = trouble
        for _ in range(30):
            try:
                cluster.turn()
            except TransportError:
                continue
        cluster.before_call = lambda query: None
        for _ in range(12):
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()

    def test_it_shows_no_end_status_before_all_is_read(self) -> None:
        cluster = fresh(3_000)
        cluster.refresh()
        while not cluster.ledger.progress.complete:
            assert cluster.ledger.size < 3_000
            cluster.background(most_calls=3)
            cluster.now_at += 60
            cluster.refresh()
        assert cluster.counted() == cluster.true_counts()


class TestObstacle:
    """Where the history cannot be read on, the reason is known, until it can."""

    def stuck(self) -> SimulatedCluster:
        """The jobs of one second come in any order, and a cache shows some of them on no page."""
        odd = replace(DIALECTS["ties-shuffled"], page_cap=20, cache_seconds=5)
        cluster = fresh(0, odd)
        for number in range(300):
            at = START_AT - 90_000 + (60 if 60 <= number < 120 else number)
            uuid = cluster.jobs.submit(at, queue="q", user="u")
            cluster.jobs.start(uuid, at)
            cluster.jobs.end(uuid, at)
        for _ in range(8):
            cluster.now_at += 60
            with suppress(SyncError):
                cluster.refresh()
                cluster.background()
        return cluster

    def test_it_is_told(self) -> None:
        cluster = self.stuck()
        assert not cluster.ledger.progress.complete
        assert cluster.replica.obstacle is not None
        assert cluster.replica.obstacle.reason == "moving"

    def test_it_is_tried_again_once_in_an_audit_interval(self) -> None:
        cluster, tries = self.stuck(), 0
        for _ in range(2 * TURNS_OF_AN_AUDIT_INTERVAL):
            before = cluster.calls
            with suppress(SyncError):
                cluster.turn()
            tries += cluster.calls - before > 12
        assert tries in (2, 3)

    def test_it_is_gone_as_soon_as_a_page_can_be_read(self) -> None:
        cluster = self.stuck()
        cluster.cluster.dialect = replace(cluster.cluster.dialect, ties=TieOrder.STABLE)
        cluster.now_at += SETTINGS.audit_interval_seconds
        cluster.background(most_calls=12)
        assert not cluster.ledger.progress.complete
        assert cluster.replica.obstacle is None


@pytest.mark.parametrize("jobs", [500, 2_000])
def test_a_history_is_read_to_its_end_if_totals_are_told_no_longer(jobs: int) -> None:
    cluster = fresh(jobs)
    cluster.refresh()
    cluster.background(most_calls=4)
    assert cluster.profile.order.value == "change"
    assert not cluster.ledger.progress.complete
    cluster.distort = lambda page: replace(page, total_count=None)
    rest_for_one_audit_interval(cluster, doubts=3)
    assert cluster.counted() == cluster.true_counts()
    assert cluster.ledger.progress.complete
