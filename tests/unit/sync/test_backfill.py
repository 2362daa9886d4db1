"""Proving the order, and reading the history at the tail of what is known."""

from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from exporter.errors import SyncError, TransportError
from exporter.model import JobListQuery, Page
from exporter.simulator import DIALECTS, DOCUMENTED, Dialect, JobList, fill
from exporter.sync.asking import Purpose
from tests.unit.sync.pretend import START_AT, PretendCluster
from tests.unit.sync.settled import SETTINGS, Traffic, calls_of_a_turn


def fresh(count: int, dialect: Dialect = DOCUMENTED, *, seed: int = 0) -> PretendCluster:
    listed = JobList()
    fill(listed, count, active=count // 20, now_at=START_AT - 5, seed=seed)
    return PretendCluster(dialect, SETTINGS, jobs=listed, seed=seed)


class TestOrder:
    @pytest.mark.parametrize("count", [150, 250, 300, 500, 1_000])
    def test_the_order_of_a_list_of_any_length_is_proven(self, count: int) -> None:
        for seed in range(4):
            cluster = fresh(count, seed=seed)
            strategies = [cluster.turn().strategy for _ in range(4)]
            assert strategies[-1] == "delta", (seed, strategies)
            assert calls_of_a_turn(cluster) <= 4

    @pytest.mark.parametrize("seed", range(4))
    def test_also_while_the_list_moves(self, seed: int) -> None:
        cluster = fresh(3_000, seed=seed)
        traffic = Traffic(cluster, seed)
        cluster.between_calls = lambda: traffic.pass_by(2)
        strategies = [cluster.turn().strategy for _ in range(4)]
        assert strategies[-1] == "delta"

    @pytest.mark.parametrize("count", [150, 300, 1_000])
    @pytest.mark.parametrize(
        "name", ["sort-ignored", "sort-ignored-by-id", "sort-ignored-arbitrary", "reverse-ignored"]
    )
    def test_another_order_is_never_taken_for_it(self, name: str, count: int) -> None:
        cluster = fresh(count, DIALECTS[name])
        for _ in range(4):
            assert cluster.turn().strategy in ("sweep", "scan")
        assert cluster.ledger.progress.sort != "honoured"

    def test_a_list_whose_head_is_sorted_by_chance(self) -> None:
        """Nobody's job has changed for long but a few: only the depth shows that nothing is sorted."""
        listed = JobList()
        for number in range(1_000):
            at = START_AT - 900_000 + number * 10
            uuid = listed.submit(at, queue="q", user="u")
            ended = at + (5 if number > 400 or number % 7 else 50_000)
            listed.start(uuid, at + 1)
            listed.end(uuid, ended)
        cluster = PretendCluster(DIALECTS["sort-ignored"], SETTINGS, jobs=listed)
        for _ in range(12):
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()

    def test_the_head_alone_proves_nothing(self) -> None:
        """No total tells how long the list is, and where it is looked for first, nothing is."""
        listed = JobList()
        for number in range(180):
            at = START_AT - 900_000 + number * 10
            uuid = listed.submit(at, queue="q", user="u")
            listed.start(uuid, at + 1)
            listed.end(uuid, at + 2 + (number * 37 % 90 if number < 120 else 0))
        dialect = replace(DIALECTS["nothing-honoured-total-missing"], page_cap=50)
        cluster = PretendCluster(dialect, SETTINGS, jobs=listed)
        for _ in range(3):
            assert cluster.turn().strategy == "scan"
        assert cluster.counted() == cluster.true_counts()
        assert cluster.ledger.progress.sort == "ignored"


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


class TestMarks:
    """A scan in the background, and the syncs that come between its calls."""

    def _scanning(self) -> PretendCluster:
        cluster = fresh(2_000, DIALECTS["sort-ignored"])
        cluster.refresh()
        cluster.background(most_calls=7)
        return cluster

    def test_a_failed_sync_does_not_make_the_scan_believe_that_it_met_all(self) -> None:
        cluster = self._scanning()
        for _ in range(30):
            # New jobs come in, and the sync that has seen them fails.
            for _ in range(40):
                cluster.jobs.submit(cluster.now_at, queue="q", user="u")
            calls = 0

            def trouble(query: JobListQuery) -> None:
                nonlocal calls
                calls += 1
                if calls == 2:
                    raise TransportError("timeout", "no answer", retryable=True, advice="")

            cluster.before_call = trouble
            cluster.now_at += 60
            with pytest.raises(TransportError):
                cluster.refresh()
            cluster.before_call = lambda query: None
        cluster.background()
        known = cluster.ledger.known(job.uuid for job in cluster.jobs.jobs())
        ended = [job.uuid for job in cluster.jobs.jobs() if job.status == "finished"]
        assert not [uuid for uuid in ended if uuid not in known]

    def test_scans_that_fail_leave_nothing_behind(self) -> None:
        """The sets of what they met are on disk, and a long list's are large."""
        cluster = fresh(1_000, DIALECTS["sort-ignored"])
        cluster.turn()
        for _ in range(5):
            cluster.now_at += 600
            cluster.refresh()
            asking = cluster.replica.background(cluster.now_at, lambda purpose: 10**6)
            assert asking is not None
            with cluster.ledger.transaction():
                ask = next(asking)
                for _ in range(3):
                    ask = asking.send(cluster.list_jobs(ask.query))
            asking.close()  # after too many failures it is given up
        cluster.turn(600)
        tables = cluster.ledger._connection.execute(
            "SELECT name FROM sqlite_temp_master WHERE name LIKE 'marks%' AND type = 'table'"
        ).fetchall()
        assert len(tables) <= 1

    def test_scans_that_are_lied_to_leave_nothing_behind(self) -> None:
        cluster = fresh(1_000, DIALECTS["sort-ignored-total-missing"])
        for _ in range(3):
            cluster.turn()
        dice = Random(1)

        def shuffled(page: Page) -> Page:
            jobs = list(page.jobs)
            dice.shuffle(jobs)
            return Page(jobs[:50], page.total_count, page.server_time_at)

        for _ in range(5):
            cluster.now_at += 600
            cluster.refresh()
            cluster.distort = shuffled
            with suppress(SyncError):
                cluster.background(most_calls=200)
            cluster.distort = lambda page: page
        tables = cluster.ledger._connection.execute(
            "SELECT name FROM sqlite_temp_master WHERE name LIKE 'marks%' AND type = 'table'"
        ).fetchall()
        assert len(tables) <= 1
