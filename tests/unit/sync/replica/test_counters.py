"""Counters and histograms, end to end: each transition once, through restarts, failures and gaps."""

from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from exporter.errors import SyncError, TransportError
from exporter.ledger.counters import CounterKey
from exporter.ledger.store import open_ledger
from exporter.model import JobListQuery, Page
from exporter.simulator import DEPLOYMENTS, DIALECTS, DOCUMENTED, Dialect, JobList, fill
from exporter.sync.asking import CollapseUnconfirmed
from exporter.sync.context import SyncSettings
from exporter.sync.replica import Replica
from tests.unit.ledger.made import tallied
from tests.unit.sync.living import Living, account_of
from tests.unit.sync.settled import TURNS_OF_AN_AUDIT_INTERVAL
from tests.unit.sync.simulated import CLUSTER_ID, START_AT, SimulatedCluster

SETTINGS = SyncSettings(interval_seconds=60, audit_interval_seconds=600)


def cluster_with(
    jobs: int = 400,
    dialect: Dialect = DOCUMENTED,
    *,
    path: Path | None = None,
    settings: SyncSettings = SETTINGS,
    seed: int = 0,
) -> SimulatedCluster:
    """A list with a past, and a replica that has just begun to follow it."""
    listed = JobList()
    fill(listed, jobs, active=jobs // 8, now_at=START_AT - 5, seed=seed)
    cluster = SimulatedCluster(
        dialect, settings, jobs=listed, seed=seed, ledger=open_ledger(path, CLUSTER_ID)
    )
    cluster.refresh()
    cluster.now_at += 2
    return cluster


def restart(cluster: SimulatedCluster, path: Path) -> None:
    """The process ends and begins again with what is on disk."""
    cluster.ledger.close()
    cluster.ledger = open_ledger(path, CLUSTER_ID)
    cluster.replica = Replica(cluster.ledger, cluster.settings, Random(1))


def rest(cluster: SimulatedCluster) -> None:
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn()
    assert cluster.counted() == cluster.true_counts()


EVERY_LOOK_SHOWS_ENDS = (
    "documented", "filters-ignored", "nothing-honoured", "nothing-honoured-total-missing",
    "total-whole", "total-missing", "ties-reversed", "times-z", "untidy", "sort-by-modified-only",
)  # fmt: skip
SCANS_SHOW_ENDS = ("sort-ignored", "sort-refused", "sort-ignored-arbitrary", "reverse-ignored")


@pytest.mark.parametrize("name", EVERY_LOOK_SHOWS_ENDS + SCANS_SHOW_ENDS)
def test_they_equal_an_exact_account(name: str, tmp_path: Path) -> None:
    """Looks while nothing happens, and in between whole lives; restarts; the history in the rear."""
    path = tmp_path / "one.ledger"
    cluster = cluster_with(200, replace(DIALECTS[name], page_cap=20), path=path)
    living = Living(cluster, Random(len(name)), ends_seen=name in EVERY_LOOK_SHOWS_ENDS)
    for turn in range(9):
        living.live(living.rng.randrange(1, 50))
        with suppress(CollapseUnconfirmed):
            cluster.turn()
            living.looked()
        if turn % 3 == 2:
            restart(cluster, path)
    rest(cluster)
    assert account_of(cluster.ledger) == living.account()
    restart(cluster, path)
    assert account_of(cluster.ledger) == living.account()
    cluster.ledger.close()


@pytest.mark.parametrize("name", ["documented", "sort-ignored", "nothing-honoured"])
def test_what_happens_while_the_program_is_away_is_counted_when_it_is_back(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "one.ledger"
    cluster = cluster_with(200, DIALECTS[name], path=path)
    rest(cluster)
    living = Living(cluster, Random(4), ends_seen=name == "documented")
    cluster.ledger.close()
    living.live(300)
    cluster.now_at += 86400
    cluster.ledger = open_ledger(path, CLUSTER_ID)
    cluster.replica = Replica(cluster.ledger, SETTINGS, Random(1))
    rest(cluster)
    assert account_of(cluster.ledger) == living.account()
    cluster.ledger.close()


@pytest.mark.parametrize("name", ["documented", "sort-ignored", "filters-ignored"])
@pytest.mark.parametrize("seed", range(2))
def test_syncs_that_fail_half_way_count_nothing_twice(name: str, seed: int, tmp_path: Path) -> None:
    path = tmp_path / "one.ledger"
    cluster = cluster_with(200, replace(DIALECTS[name], page_cap=20), path=path, seed=seed)
    living = Living(cluster, Random(seed), ends_seen=name != "sort-ignored")
    for _ in range(8):
        living.live(30)
        left = living.rng.randrange(8)

        def fail(_: JobListQuery) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise TransportError("timeout", "no answer", retryable=True, advice="")

        cluster.before_call = fail
        with suppress(TransportError, CollapseUnconfirmed):
            cluster.turn()
            living.looked()
        cluster.before_call = lambda query: None
    rest(cluster)
    assert account_of(cluster.ledger) == living.account()
    cluster.ledger.close()


@pytest.mark.parametrize("name", ["documented", "sort-ignored", "filters-ignored", "total-missing"])
def test_changes_between_the_calls_of_a_sync_are_counted_once(name: str) -> None:
    cluster = cluster_with(200, replace(DIALECTS[name], page_cap=20))
    living = Living(cluster, Random(9))
    for _ in range(12):

        def between() -> None:
            if living.rng.random() < 0.5:
                # No look sees one moment here: what only looks could tell apart is left out.
                living.rng.choice((living.submit, living.start, living.end, living.cancel))()
                cluster.now_at += 1

        cluster.between_calls = between
        with suppress(SyncError):
            cluster.turn()
    cluster.between_calls = lambda: None
    rest(cluster)
    assert account_of(cluster.ledger) == living.account()


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_the_history_is_not_counted(name: str) -> None:
    """Neither at the first look nor by the backfill, the sweeps and scans, nor by audits."""
    cluster = cluster_with(200, replace(DIALECTS[name], page_cap=20))
    for _ in range(3):
        with suppress(SyncError):
            cluster.turn()
    assert account_of(cluster.ledger) == {}


def test_one_life_between_two_looks_is_counted_with_its_times() -> None:
    cluster = cluster_with()
    cluster.turn()
    at = int(cluster.now_at)
    uuid = cluster.jobs.submit(at, queue="q", user="u", cores=24)
    cluster.jobs.start(uuid, at + 31)
    cluster.jobs.end(uuid, at + 31 + 300, "exited")
    cluster.now_at += 400
    cluster.turn()
    wait = [0] * 14
    wait[1] = 1
    run = [0] * 14
    run[3] = 1
    assert account_of(cluster.ledger) == {
        CounterKey("submitted", "q", ""): (1, 0.0, ()),
        CounterKey("started", "q", ""): (1, 0.0, ()),
        CounterKey("waits", "q", ""): (1, 31.0, tuple(wait)),
        CounterKey("ended", "q", "exited"): (1, 0.0, ()),
        CounterKey("runs", "q", "exited"): (1, 300.0, tuple(run)),
        CounterKey("wait", "q", "u"): (1, 31, ()),
        CounterKey("cores", "q", "u"): (1, 24 * 300, ()),
    }


def test_a_job_that_an_answer_left_out_is_not_submitted_anew() -> None:
    """One answer lies; the jobs that it hides come back as those that they were."""
    cluster = cluster_with(60)
    living = Living(cluster, Random(3))
    living.live(20)
    cluster.turn()
    living.looked()
    lies = 1

    def hide(page: Page) -> Page:
        nonlocal lies
        lies -= 1
        if lies < 0:
            return page
        return Page(page.jobs[10:], len(page.jobs) - 10, page.server_time_at)

    cluster.distort = hide
    cluster.turn()
    rest(cluster)
    submitted = {
        key: value for key, value in account_of(cluster.ledger).items() if key.kind == "submitted"
    }
    assert submitted == {
        key: value for key, value in living.account().items() if key.kind == "submitted"
    }


@pytest.mark.parametrize(
    "dialect", ["documented", "console", "sort-ignored", "nothing-honoured", "total-missing"]
)
@pytest.mark.parametrize("answers", [1, 2])
@pytest.mark.parametrize("jobs", [60, 1_400])
def test_the_list_of_another_cluster_counts_nothing(jobs: int, answers: int, dialect: str) -> None:
    """It is as long as ours, and none of its jobs is known. If it comes twice, the sync fails."""
    cluster = cluster_with(jobs, (DIALECTS | DEPLOYMENTS)[dialect])
    rest(cluster)
    before, left = account_of(cluster.ledger), answers

    def mix_up(page: Page) -> Page:
        nonlocal left
        left -= 1
        at = int(cluster.now_at)
        others = (job._replace(uuid=f"other-{job.uuid}", modified_at=at) for job in page.jobs)
        return page if left < 0 else replace(page, jobs=tuple(others))

    cluster.distort = mix_up
    with pytest.raises(CollapseUnconfirmed) if answers > 1 else nullcontext():
        cluster.turn()
    rest(cluster)
    assert account_of(cluster.ledger) == before


@pytest.mark.parametrize("jobs", [1, 30])
def test_short_jobs_that_are_deleted_at_once_are_counted_in_each_sync(jobs: int) -> None:
    """Each sync shows none of the jobs of the one before, and that is so."""
    cluster = SimulatedCluster(settings=SETTINGS)
    cluster.turn()
    listed: list[str] = []
    for _ in range(4):
        cluster.jobs.delete(listed)
        at = cluster.now_at + 30
        listed = [cluster.jobs.submit(at, queue="q", user="u") for _ in range(jobs)]
        cluster.turn()
        assert cluster.counted() == cluster.true_counts()
    assert tallied(cluster.ledger)[CounterKey("submitted", "q", "")].times == 4 * jobs


@pytest.mark.parametrize("years", [10, -10])
def test_one_absurd_time_does_not_stop_the_counters(years: int) -> None:
    listed = JobList()
    fill(listed, 150, active=20, now_at=START_AT - 5)
    listed.submit(START_AT + years * 365 * 86400, queue="absurd", user="u")
    cluster = SimulatedCluster(DOCUMENTED, SETTINGS, jobs=listed)
    cluster.turn()
    cluster.now_at += 2
    living = Living(cluster, Random(3))
    living.live(20)
    cluster.now_at += 5
    cluster.turn()
    counted = account_of(cluster.ledger)
    assert {key: n for key, n in counted.items() if key.queue != "absurd"} == living.account()


def test_a_list_in_another_time_zone_counts_what_is_new() -> None:
    """Times without a zone, taken for UTC, that are eight hours ahead."""
    listed = JobList()
    fill(listed, 150, active=20, now_at=START_AT - 5)
    cluster = SimulatedCluster(DIALECTS["times-local"], SETTINGS, jobs=listed)
    cluster.turn()
    cluster.now_at += 2
    living = Living(cluster, Random(3))
    for _ in range(5):
        living.live(30)
        cluster.turn()
        living.looked()
    assert account_of(cluster.ledger) == living.account()


@pytest.mark.parametrize("history_seconds", [0.0, 7200.0])
def test_what_leaves_a_bounded_ledger_stays_counted(history_seconds: float) -> None:
    settings = replace(SETTINGS, history_seconds=history_seconds)
    cluster = cluster_with(300, settings=settings)
    living = Living(cluster, Random(6))
    living.requeue = lambda: None  # type: ignore[method-assign]
    for _ in range(12):
        living.live(40)
        cluster.turn(1200)
        living.looked()
    assert account_of(cluster.ledger) == living.account()
    ended = sum(
        count for (status, _, _), count in cluster.counted().items() if status == "finished"
    )
    assert ended < 300


def test_a_requeued_job_that_had_left_a_bounded_ledger_is_not_submitted_anew() -> None:
    cluster = cluster_with(300, settings=replace(SETTINGS, history_seconds=0.0))
    cluster.turn()
    uuid = cluster.jobs.submit(cluster.now_at, queue="q", user="u")
    cluster.jobs.start(uuid, cluster.now_at + 5)
    cluster.jobs.end(uuid, cluster.now_at + 10)
    cluster.turn()
    for _ in range(3):
        cluster.turn(3000)
    cluster.jobs.requeue(uuid, cluster.now_at)
    cluster.turn()
    assert cluster.ledger.known([uuid])
    assert account_of(cluster.ledger)[CounterKey("submitted", "q", "")] == (1, 0.0, ())
