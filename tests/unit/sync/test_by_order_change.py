"""Reading the head of the list down to what is known, and no further."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from exporter.errors import RefusedError, SyncError
from exporter.model import JobListQuery, Page, Purpose
from tests.unit.sync.settled import TURNS_OF_AN_AUDIT_INTERVAL, Traffic, settled
from tests.unit.sync.simulated import SimulatedCluster


def refresh(cluster: SimulatedCluster, seconds: float = 60) -> int:
    """One sync; returns its calls. The counts are then right."""
    before = cluster.calls
    cluster.now_at += seconds
    assert cluster.refresh().strategy == "delta"
    assert cluster.counted() == cluster.true_counts()
    return cluster.calls - before


def without_audits(count: int = 1_000) -> SimulatedCluster:
    """A settled cluster whose audits are not due for long."""
    cluster = settled(count)
    cluster.replica.settings = replace(cluster.settings, audit_interval_seconds=1e9)
    cluster.refresh()
    return cluster


class TestCalls:
    @pytest.mark.parametrize(
        ("changes", "calls"), [(0, 1), (1, 1), (30, 1), (94, 1), (200, 3), (1_000, 12)]
    )
    def test_a_look_costs_what_has_changed(self, changes: int, calls: int) -> None:
        cluster = without_audits()
        for _ in range(changes):
            cluster.jobs.submit(cluster.now_at + 50, queue="q", user="u")
        assert refresh(cluster) <= calls

    def test_with_no_filter_all_is_read_though_the_history_has_no_calls(self) -> None:
        """Nothing could be shown before it is."""
        cluster = settled(1_003, "filters-ignored")
        cluster.allowance = lambda purpose: 0 if purpose is Purpose.HISTORY else 500
        for _ in range(400):
            cluster.jobs.submit(cluster.now_at + 50, queue="q", user="u")
        refresh(cluster)
        assert cluster.ledger.progress.complete

    def test_submits_starts_and_ends(self) -> None:
        cluster = without_audits()
        traffic = Traffic(cluster)
        for _ in range(20):
            traffic.pass_by(20)
            assert refresh(cluster, 1) == 1

    def test_requeued_and_suspended_jobs(self) -> None:
        cluster = without_audits()
        jobs = list(cluster.jobs.jobs())
        for job in [job for job in jobs if job.status == "finished"][:20]:
            cluster.jobs.requeue(job.uuid, cluster.now_at + 5)
        for job in [job for job in jobs if job.status == "running"][:5]:
            cluster.jobs.suspend(job.uuid, cluster.now_at + 5, "stopped")
        assert refresh(cluster) == 1

    def test_all_jobs_of_the_list_change_at_once(self) -> None:
        cluster = without_audits()
        for job in list(cluster.jobs.jobs()):
            cluster.jobs.edit(job.uuid, cluster.now_at + 5, cores=77, moves_modified=True)
        assert refresh(cluster) <= 12


class TestClocks:
    @pytest.mark.parametrize("late", [1, 5, 9])
    def test_changes_that_are_stamped_a_little_late_are_found(self, late: int) -> None:
        cluster = without_audits()
        dice = Random(late)
        for _ in range(20):
            for _ in range(10):
                cluster.jobs.submit(cluster.now_at - dice.randrange(late + 1), queue="q", user="u")
            refresh(cluster, 1)

    def test_a_job_from_the_future_does_not_hide_what_changes_now(self) -> None:
        cluster = without_audits()
        traffic = Traffic(cluster)
        cluster.jobs.submit(cluster.now_at + 10**8, queue="q", user="u")
        refresh(cluster)
        for _ in range(10):
            traffic.pass_by(50)
            refresh(cluster, 1)

    @pytest.mark.parametrize("dialect", ["documented", "total-missing", "sort-ignored"])
    def test_the_servers_clock_is_set_back(self, dialect: str) -> None:
        """What changes now is stamped an hour before what is known: no head shows it."""
        cluster = settled(1_003, dialect)
        traffic = Traffic(cluster)
        traffic.pass_by(20)
        cluster.turn()
        cluster.now_at -= 3600
        traffic.turns(5, 5)
        for _ in range(10):
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()

    def test_then_so_many_end_in_one_second_that_no_page_shows_them_all(self) -> None:
        """All their records are older than what is known of them: no reason not to read that second whole."""
        cluster = settled(1_003, "filters-ignored")
        uuids = [cluster.jobs.submit(cluster.now_at, queue="q", user="u") for _ in range(350)]
        cluster.turn()
        cluster.now_at -= 3600
        for uuid in uuids:
            cluster.jobs.end(uuid, cluster.now_at + 5, "cancelled")
        before = cluster.calls
        for _ in range(10):
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()
        assert cluster.calls - before < 100

    def test_nor_do_its_own_changes_stay_hidden(self) -> None:
        """Its stamp goes back to what it is now: that is believed once it has stood."""
        cluster = without_audits()
        uuid = cluster.jobs.submit(cluster.now_at + 10**8, queue="q", user="u")
        refresh(cluster)
        cluster.jobs.start(uuid, cluster.now_at + 5)
        for _ in range(3):
            cluster.now_at += 60
            cluster.refresh()
        assert cluster.counted() == cluster.true_counts()

    def test_no_time_passes_between_two_syncs(self) -> None:
        cluster = without_audits()
        for _ in range(10):
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
            refresh(cluster, 0)

    def test_this_machines_clock_is_not_asked(self) -> None:
        cluster = without_audits()
        cluster.jobs.submit(cluster.now_at + 5, queue="q", user="u")
        cluster.now_at += 60
        step = cluster.replica.refresh(5.0, lambda purpose: 0)
        with cluster.ledger.transaction():
            ask = next(step)
            try:
                while True:
                    ask = step.send(cluster.list_jobs(ask.query))
            except StopIteration:
                pass
        assert cluster.counted() == cluster.true_counts()
        assert cluster.ledger.progress.last_success_at == cluster.now_at


class TestLies:
    def test_an_empty_head_with_a_total_is_no_empty_list(self) -> None:
        cluster = settled(1_000)
        cluster.distort = lambda page: Page((), page.total_count, page.server_time_at)
        before = cluster.counted()
        with pytest.raises(SyncError):
            cluster.refresh()
        assert cluster.counted() == before

    def test_an_empty_head_without_a_total_is_doubted(self) -> None:
        cluster = settled(1_003, "total-missing")
        before = cluster.counted()
        cluster.distort = lambda page: Page((), None, page.server_time_at)
        with pytest.raises(SyncError):
            cluster.refresh()
        assert cluster.counted() == before
        cluster.distort = lambda page: page
        cluster.turn()
        assert cluster.counted() == cluster.true_counts()

    def test_a_list_that_really_is_empty_is_believed_in_the_end(self) -> None:
        cluster = settled(1_003, "total-missing")
        cluster.jobs.delete([job.uuid for job in cluster.jobs.jobs()])
        for _ in range(6):
            try:
                cluster.turn()
            except SyncError:
                continue
        assert cluster.counted() == {}

    def test_a_sort_key_that_is_refused_now_and_then(self) -> None:
        cluster = settled(1_000)
        refusals = 0

        def refuse(query: JobListQuery) -> None:
            nonlocal refusals
            if query.sort_key and refusals < 2:
                refusals += 1
                raise RefusedError(1101, "request", "unknown sort_key", retryable=False, advice="")

        cluster.before_call = refuse
        with pytest.raises(SyncError):
            cluster.turn()
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL + 2):
            if cluster.turn().strategy == "delta":
                break
        assert cluster.refresh().strategy == "delta"
        assert cluster.counted() == cluster.true_counts()

    def test_refused_for_another_reason_it_is_no_fact_about_sorting(self) -> None:
        cluster = settled(1_000)

        def refuse(query: JobListQuery) -> None:
            raise RefusedError(1400, "denied", "no", retryable=False, advice="")

        cluster.before_call = refuse
        with pytest.raises(RefusedError):
            cluster.refresh()
        cluster.before_call = lambda query: None
        assert cluster.turn().strategy == "delta"


class TestZeros:
    """Who had an active job within the last hour keeps zeros: see what is noted of it."""

    @pytest.mark.parametrize("name", ["documented", "sort-ignored", "nothing-honoured"])
    @pytest.mark.parametrize("fate", ["end", "cancel", "delete", "requeue elsewhere"])
    def test_a_pair_that_falls_silent_is_noted(self, name: str, fate: str) -> None:
        cluster = settled(1_000, name)
        uuid = cluster.jobs.submit(cluster.now_at, queue="lonely", user="hermit")
        cluster.turn()
        at = cluster.now_at + 5
        if fate == "delete":
            cluster.jobs.delete([uuid])
        elif fate == "requeue elsewhere":
            cluster.jobs.edit(uuid, at, queue="crowded", moves_modified=True)
        else:
            cluster.jobs.end(uuid, at, "finished" if fate == "end" else "cancelled")
        cluster.turn()
        assert cluster.ledger.activity()["lonely", "hermit"] == pytest.approx(
            cluster.now_at, abs=61
        )
        cluster.turn(3500)
        assert ("lonely", "hermit") in cluster.ledger.activity()
        cluster.turn(200)
        assert ("lonely", "hermit") not in cluster.ledger.activity()

    def test_also_if_only_a_scan_in_the_background_finds_out(self) -> None:
        cluster = settled(1_000, "sort-ignored-by-id")
        uuid = cluster.jobs.submit(cluster.now_at, queue="lonely", user="hermit")
        cluster.jobs.start(uuid, cluster.now_at)
        cluster.turn()
        cluster.jobs.suspend(uuid, cluster.now_at)  # no filter finds it there
        for _ in range(12):
            cluster.turn()
        assert cluster.ledger.known([uuid])[uuid].status == "suspended"
        cluster.jobs.delete([uuid])
        while cluster.ledger.known([uuid]):
            cluster.turn()
        cluster.turn()
        assert ("lonely", "hermit") in cluster.ledger.activity()


class TestALongGap:
    """More has changed than is read at once: what lies between is read in the background."""

    def test_the_active_counts_are_right_and_half_of_the_calls_are_left(self) -> None:
        cluster = settled(2_000)
        for _ in range(5_000):
            cluster.now_at += 1
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        running = [job.uuid for job in cluster.jobs.jobs() if job.status == "running"]
        cluster.jobs.delete(running[::3])
        cluster.allowance = lambda _: 60
        before = cluster.calls
        cluster.refresh()
        assert not cluster.ledger.progress.complete
        active = Counter(job.status for job in cluster.jobs.jobs())
        sweep = sum(1 + active[status] // 99 for status in ("pending", "running"))
        assert cluster.calls - before <= 30 + 3 + sweep
        assert cluster.active_is_right()

    def test_calls_that_other_clusters_need_are_left_to_them(self) -> None:
        """Half of all that an account may call in an hour, spent by one cluster after an outage,
        stretched the intervals of its neighbours until they had left the window."""
        cluster = settled(2_000)
        for _ in range(5_000):
            cluster.now_at += 1
            cluster.jobs.submit(cluster.now_at, queue="q", user="u", status="finished")
        cluster.allowance = lambda purpose: 0 if purpose is Purpose.HISTORY else 1_000
        before = cluster.calls
        cluster.refresh()
        active = Counter(job.status for job in cluster.jobs.jobs())
        sweep = sum(1 + active[status] // 99 for status in ("pending", "running"))
        assert cluster.calls - before <= 2 * sweep + 4
        assert cluster.active_is_right()

    @pytest.mark.parametrize(
        ("dialect", "with_deletions"),
        [
            ("documented", False),
            ("documented", True),
            ("filters-ignored", False),
            ("total-whole", True),
        ],
    )
    def test_it_closes(self, dialect: str, with_deletions: bool) -> None:
        cluster = settled(2_000, dialect)
        cluster.allowance = lambda _: 40
        dice = Random(8)
        uuids = [job.uuid for job in cluster.jobs.jobs()]
        for _ in range(2_500):
            cluster.now_at += 5
            uuid = cluster.jobs.submit(cluster.now_at, queue="q", user="u")
            cluster.jobs.start(uuid, cluster.now_at)
            if dice.random() < 0.95:
                cluster.jobs.end(uuid, cluster.now_at + 1)
        if with_deletions:
            cluster.jobs.delete(uuids[100:400])
        cluster.now_at += 60
        cluster.refresh()
        assert not cluster.ledger.progress.complete
        assert cluster.active_is_right() or not cluster.ledger.progress.active_known
        for _ in range(13):
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()
        assert cluster.ledger.progress.complete
