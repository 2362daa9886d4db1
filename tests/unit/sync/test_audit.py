"""What no change of the head shows is found by audits, soon and for little."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import BudgetExhausted, SyncError
from exporter.model import JobListQuery, Page
from exporter.simulator import DIALECTS, DOCUMENTED, JobList, fill
from exporter.sync.audit import COVER, EDGE, END, PROBE, audits_of, due_audits
from exporter.sync.context import SyncSettings
from exporter.sync.delta import most_catch_up_pages
from exporter.sync.replica import Replica
from tests.unit.sync.pretend import START_AT, PretendCluster
from tests.unit.sync.settled import SETTINGS, Traffic, calls_of_a_turn, settled

TURNS_OF_AN_AUDIT_INTERVAL = 10


class TestDue:
    NAMES = ("pending", "running", PROBE)

    def due(
        self, audited_at: dict[str, float], *, now_at: float = 10_000.0, quiet: bool = False
    ) -> list[str]:
        return due_audits(
            self.NAMES,
            audited_at,
            now_at=now_at,
            interval_seconds=480,
            busy_interval_seconds=660,
            quiet=quiet,
        )

    def test_at_first_all_are(self) -> None:
        assert self.due({}, quiet=True) == list(self.NAMES)
        assert self.due({}) == ["pending"]

    def test_while_the_list_moves_they_take_turns(self) -> None:
        now_at, ran = 10_000.0, []
        audited_at: dict[str, float] = {}
        for _ in range(200):
            for name in self.due(audited_at, now_at=now_at):
                audited_at[name] = now_at
                ran.append((name, now_at))
            now_at += 60
        names = [name for name, _ in ran]
        assert names[:6] == [*self.NAMES, *self.NAMES]
        gaps = {later - earlier for (_, earlier), (_, later) in pairwise(ran)}
        assert gaps == {660.0}

    def test_at_rest_each_is_due_within_the_interval(self) -> None:
        audited_at = {"pending": 9_000.0, "running": 9_600.0, PROBE: 9_900.0}
        assert self.due(audited_at, quiet=True) == ["pending"]
        assert self.due(audited_at) == []

    def test_what_ran_in_the_future_is_due(self) -> None:
        """A clock was wrong for a moment, this machine's or the cloud's."""
        assert self.due(dict.fromkeys(self.NAMES, 1e10), quiet=True) == list(self.NAMES)
        assert len(self.due(dict.fromkeys(self.NAMES, 1e10))) == 1

    @given(
        audited=st.dictionaries(st.sampled_from(NAMES), st.floats(0, 10_000)),
        quiet=st.booleans(),
    )
    def test_the_oldest_goes_first(self, audited: dict[str, float], quiet: bool) -> None:
        due = self.due(audited, quiet=quiet)
        times = [audited.get(name, 0.0) for name in due]
        assert times == sorted(times)
        assert all(10_000 - at >= 480 for at in times)
        assert len(due) <= (3 if quiet else 1)

    @pytest.mark.parametrize(
        ("filters", "totals", "windowed", "names"),
        [
            ("honoured", "filtered", False, ("pending", "running", PROBE)),
            ("honoured", "missing", False, ("pending", "running", PROBE, END)),
            ("honoured", "filtered", True, ("pending", "running", PROBE, EDGE)),
            ("honoured", "missing", True, ("pending", "running", PROBE, EDGE)),
            ("ignored", "whole", False, (COVER, PROBE)),
            ("ignored", "missing", False, (COVER, PROBE, END)),
        ],
    )
    def test_which_make_sense(
        self, filters: str, totals: str, windowed: bool, names: tuple[str, ...]
    ) -> None:
        assert audits_of(filters=filters, totals=totals, windowed=windowed) == names


def rest_for_one_audit_interval(cluster: PretendCluster, *, doubts: int = 0) -> None:
    """``doubts``: so many syncs may fail before what the server says is believed."""
    failed = 0
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        try:
            cluster.turn()
        except SyncError:
            failed += 1
    assert failed <= doubts


def change_without_a_trace(cluster: PretendCluster, kind: str, dice: Random) -> None:
    """A change of status that leaves ``modified_time``, and the length of the list, as they were."""
    at = cluster.now_at
    statuses = {
        "start": ("pending", "running"),
        "end": ("running", "finished"),
        "cancel": ("pending", "cancelled"),
        "requeue": ("running", "pending"),
        "suspend": ("running", "suspended"),
        "revive": ("finished", "running"),
    }
    old, new = statuses[kind]
    fitting = [job.uuid for job in cluster.jobs.jobs() if job.status == old]
    for uuid in dice.sample(fitting, 3):
        cluster.jobs.edit(uuid, at, status=new, moves_modified=False)


class TestUnmovedChanges:
    @pytest.mark.parametrize(
        ("dialect", "kind"),
        [
            *(("documented", kind) for kind in ("start", "end", "cancel", "requeue", "suspend")),
            ("filters-ignored", "end"),
            ("total-whole", "cancel"),
            ("total-missing", "start"),
        ],
    )
    def test_they_are_right_within_one_audit_interval(self, kind: str, dialect: str) -> None:
        cluster = settled(1_000, dialect)
        change_without_a_trace(cluster, kind, Random(2))
        rest_for_one_audit_interval(cluster)
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("kind", ["start", "end"])
    @pytest.mark.parametrize("calls", [2, 3])
    def test_an_audit_without_calls_leaves_the_sync_as_it_is(self, kind: str, calls: int) -> None:
        """It has looked at a page, wants to look on, and the budget has no call for it."""
        cluster = settled(2_000)
        change_without_a_trace(cluster, kind, Random(2))
        cut = 0
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            left = calls

            def spend(_: JobListQuery) -> None:
                nonlocal left, cut
                left -= 1
                if left < 0:
                    cut += 1
                    raise BudgetExhausted("budget", "used up", until_at=0.0, advice="")

            cluster.before_call = spend
            size = cluster.ledger.size
            cluster.now_at += 60
            cluster.refresh()
            assert cluster.ledger.size == size
        assert cut
        cluster.before_call = lambda query: None
        rest_for_one_audit_interval(cluster)
        assert cluster.counted() == cluster.true_counts()

    def test_they_are_counted_as_corrections(self) -> None:
        cluster = settled(2_000)
        change_without_a_trace(cluster, "end", Random(2))
        corrected = 0
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            corrected += cluster.turn().corrections.get("changed", 0)
        assert corrected >= 1

    def test_a_server_that_does_it_always_is_not_believed(self) -> None:
        cluster = settled(2_000)
        for seed in range(3):
            change_without_a_trace(cluster, "end", Random(seed))
            rest_for_one_audit_interval(cluster)
            assert cluster.counted() == cluster.true_counts()
        assert cluster.refresh().strategy != "delta"

    @pytest.mark.parametrize("field", ["queue", "user"])
    def test_an_active_job_that_is_moved_to_another_name_is_found_in_time(self, field: str) -> None:
        """Beyond what is promised within one interval: statuses alone are counted."""
        cluster = settled(2_000)
        uuid = next(job.uuid for job in cluster.jobs.jobs() if job.status == "running")
        cluster.jobs.edit(uuid, cluster.now_at, **{field: "elsewhere"})
        for _ in range(200):
            cluster.turn()
            if cluster.counted() == cluster.true_counts():
                break
        assert cluster.counted() == cluster.true_counts()


class TestCost:
    def test_steady_state_with_sixty_changes_a_minute(self) -> None:
        """At most 1.1 calls a refresh on average, audits included."""
        cluster = settled(2_000)
        traffic = Traffic(cluster)
        calls = 0
        turns = 132
        for _ in range(turns):
            traffic.pass_by(20, seconds=3)
            calls += calls_of_a_turn(cluster, 0.0)
        assert cluster.counted() == cluster.true_counts()
        assert calls / turns <= 1.1

    def test_a_list_of_some_pages_without_filters_is_followed_by_its_order(self) -> None:
        cluster = settled(1_500, "filters-ignored")
        traffic = Traffic(cluster)
        calls = 0
        for _ in range(10):
            traffic.pass_by(10)
            calls += calls_of_a_turn(cluster)
        assert calls <= 30

    def test_at_rest(self) -> None:
        cluster = settled(2_000)
        calls = sum(calls_of_a_turn(cluster) for _ in range(50))
        assert calls <= 50 * 1.5

    @pytest.mark.parametrize("changes", [0, 50, 98, 500, 2_000])
    def test_after_a_restart(self, changes: int) -> None:
        """At most 2 + changes / 99 calls until current."""
        cluster = settled(5_000)
        for _ in range(changes):
            cluster.now_at += 1
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        before = cluster.calls
        cluster.now_at += 100
        cluster.ledger.progress = cluster.ledger.progress  # as it was read from the disk
        cluster.refresh()
        assert cluster.calls - before <= 2 + -(-changes // 99)
        assert cluster.counted() == cluster.true_counts()

    def test_after_a_restart_long_after(self) -> None:
        """The same, with half of the calls of a common account."""
        cluster = settled(2_000)
        cluster.allowance = lambda _: 1_000
        changes = 27_000
        for _ in range(changes):
            cluster.now_at += 1
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        before = cluster.calls
        cluster.now_at += 100
        cluster.replica = Replica(cluster.ledger, SETTINGS, Random(0))
        assert cluster.refresh().strategy == "delta"
        assert cluster.calls - before <= 2 + -(-changes // 99)
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("active", [0, 40, 300, 1_000])
    def test_until_the_active_counts_are_published(self, active: int) -> None:
        """At most 3 + A / 99 calls."""
        listed = JobList()
        fill(listed, 4_000, active=active, now_at=START_AT - 5)
        cluster = PretendCluster(DOCUMENTED, SETTINGS, jobs=listed)
        cluster.refresh()
        assert cluster.ledger.progress.active_known
        assert cluster.calls <= 3 + -(-active // 99)
        counted = {
            key: n for key, n in cluster.counted().items() if key[0] in ("pending", "running")
        }
        true = {
            key: n for key, n in cluster.true_counts().items() if key[0] in ("pending", "running")
        }
        assert counted == true


class TestWindow:
    """Only a part of the history is wanted: ``collection.history`` of 30d, or none."""

    @pytest.mark.parametrize(
        "dialect", ["documented", "sort-ignored", "filters-ignored", "total-missing"]
    )
    @pytest.mark.parametrize("history_seconds", [30 * 86400.0, 0.0])
    def test_the_ledger_is_bounded_and_its_counts_are_right(
        self, dialect: str, history_seconds: float
    ) -> None:
        settings = replace(SETTINGS, history_seconds=history_seconds)
        listed = JobList()
        fill(listed, 1_500, active=60, now_at=START_AT - 5)
        cluster = PretendCluster(DIALECTS[dialect], settings, jobs=listed)
        traffic = Traffic(cluster)
        for _ in range(8):
            traffic.pass_by(10)
            cluster.turn()
        rest_for_one_audit_interval(cluster)
        assert cluster.ledger.progress.complete
        oldest_at = cluster.now_at - max(history_seconds, 3600)
        wanted = {
            job.uuid
            for job in cluster.jobs.jobs()
            if job.status in ("pending", "running") or job.modified_at >= oldest_at
        }
        uuids = [job.uuid for job in cluster.jobs.jobs()]
        assert cluster.ledger.known(uuids).keys() == wanted
        assert cluster.ledger.size == len(wanted) < 1_500

    @pytest.mark.parametrize("history_seconds", [30 * 86400.0, 0.0])
    def test_time_alone_makes_jobs_leave(self, history_seconds: float) -> None:
        settings = replace(SETTINGS, history_seconds=history_seconds)
        cluster = settled_in_window(settings)
        before = cluster.ledger.size
        for _ in range(5):
            cluster.turn(86400.0)
        oldest_at = cluster.now_at - max(history_seconds, 3600)
        wanted = [
            job
            for job in cluster.jobs.jobs()
            if job.status in ("pending", "running") or job.modified_at >= oldest_at
        ]
        assert cluster.ledger.size == len(wanted)
        assert cluster.ledger.size < before or history_seconds == 0

    def test_a_deletion_within_the_window_is_found(self) -> None:
        cluster = settled_in_window(replace(SETTINGS, history_seconds=30 * 86400.0))
        uuids = [
            job.uuid
            for job in sorted(cluster.jobs.jobs(), key=lambda job: job.modified_at)
            if job.status == "finished"
        ]
        cluster.jobs.delete(uuids[-200:-150])
        for _ in range(200):
            cluster.turn()
            if not cluster.ledger.known(uuids[-200:-150]):
                break
        assert not cluster.ledger.known(uuids[-200:-150])

    def test_a_running_job_is_known_however_long_it_has_run(self) -> None:
        settings = replace(SETTINGS, history_seconds=0.0)
        cluster = settled_in_window(settings)
        uuid = next(job.uuid for job in cluster.jobs.jobs() if job.status == "running")
        for _ in range(4):
            cluster.turn(40 * 86400.0)
        assert cluster.ledger.known([uuid])[uuid].status == "running"
        cluster.jobs.end(uuid, cluster.now_at)
        cluster.turn()
        assert cluster.ledger.known([uuid])[uuid].status == "finished"


def settled_in_window(settings: SyncSettings) -> PretendCluster:
    listed = JobList()
    fill(listed, 3_000, active=60, now_at=START_AT - 5)
    cluster = PretendCluster(DOCUMENTED, settings, jobs=listed)
    for _ in range(5):
        cluster.turn()
    assert cluster.ledger.progress.complete
    return cluster


@pytest.mark.parametrize(
    ("left", "sweep", "pages"),
    [
        (10**9, 3, 500),
        (1_000, 3, 500),
        (700, 3, 350),
        (9, 3, 4),
        (5, 3, 4),
        (0, 3, 4),
        (100, 60, 61),
        (0, 10**4, 500),
    ],
)
def test_a_catch_up_takes_half_of_what_is_left_or_what_a_sweep_would(
    left: int, sweep: int, pages: int
) -> None:
    assert most_catch_up_pages(calls_left=left, sweep_calls=sweep) == pages


def test_a_catch_up_leaves_half_of_the_calls_and_active_counts_are_right() -> None:
    cluster = settled(2_000)
    for _ in range(5_000):
        cluster.now_at += 1
        cluster.jobs.submit(cluster.now_at, queue="q", user="u")
    cluster.jobs.delete([job.uuid for job in cluster.jobs.jobs() if job.status == "running"][::2])
    calls_left = 60
    cluster.allowance = lambda _: calls_left
    before = cluster.calls
    cluster.refresh()
    assert not cluster.ledger.progress.read_through
    assert cluster.calls - before <= 30 + 3 + sweep_cost_of(cluster)
    for status in ("pending", "running"):
        true = {key: n for key, n in cluster.true_counts().items() if key[0] == status}
        assert {key: n for key, n in cluster.counted().items() if key[0] == status} == true


def sweep_cost_of(cluster: PretendCluster) -> int:
    active = Counter(job.status for job in cluster.jobs.jobs())
    return sum(1 + active[status] // 99 for status in ("pending", "running"))


@pytest.mark.parametrize(
    ("dialect", "with_deletions"),
    [
        ("documented", False),
        ("documented", True),
        ("filters-ignored", False),
        ("total-missing", True),
    ],
)
def test_a_gap_after_a_long_outage_closes(
    dialect: str, with_deletions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More has changed than a catch-up reads: what lies between is read in the background."""
    monkeypatch.setattr("exporter.sync.delta.MOST_CATCH_UP_PAGES", 50)
    cluster = settled(2_000, dialect)
    dice = Random(8)
    uuids = [job.uuid for job in cluster.jobs.jobs()]
    for _ in range(6_400):
        cluster.now_at += 5
        uuid = cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        cluster.jobs.start(uuid, cluster.now_at)
        if dice.random() < 0.95:
            cluster.jobs.end(uuid, cluster.now_at + 1)
    if with_deletions:
        cluster.jobs.delete(uuids[100:400])
    cluster.now_at += 60
    cluster.refresh()
    assert not cluster.ledger.progress.read_through
    active = {
        key: n for key, n in cluster.true_counts().items() if key[0] in ("pending", "running")
    }
    if dialect != "filters-ignored":
        assert {
            k: n for k, n in cluster.counted().items() if k[0] in ("pending", "running")
        } == active
    for _ in range(13):
        cluster.turn()
    assert cluster.counted() == cluster.true_counts()
    assert cluster.ledger.progress.complete


class TestAnotherServer:
    """The cluster's dialect changes while the program runs: it falls back, and comes back."""

    @pytest.mark.parametrize(
        ("there", "strategies"),
        [
            ("sort-ignored", {"sweep", "scan"}),
            ("sort-refused", {"sweep", "scan"}),
            ("nothing-honoured", {"scan"}),
            ("filters-ignored", {"delta"}),
            ("sort-ignored-total-whole", {"sweep", "scan"}),
            ("reverse-ignored", {"sweep", "scan"}),
        ],
    )
    def test_there_and_back(self, there: str, strategies: set[str]) -> None:
        cluster = settled(600)
        traffic = Traffic(cluster)
        assert cluster.turn().strategy == "delta"
        cluster.cluster.speak(DIALECTS[there])
        used = set()
        for _ in range(4):
            traffic.pass_by(5)
            used.add(cluster.turn().strategy)
        assert used <= strategies
        rest_for_one_audit_interval(cluster)
        assert cluster.counted() == cluster.true_counts()
        cluster.cluster.speak(DOCUMENTED)
        for _ in range(70):
            traffic.pass_by(5)
            if cluster.turn().strategy == "delta":
                break
        rest_for_one_audit_interval(cluster)
        assert cluster.turn().strategy == "delta"
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("there", sorted(DIALECTS))
    def test_counts_are_right_whatever_it_speaks_now(self, there: str) -> None:
        cluster = settled(600)
        cluster.cluster.speak(DIALECTS[there])
        cluster.jobs.still_transitions = DIALECTS[there].still_transitions
        traffic = Traffic(cluster)
        for _ in range(3):
            traffic.pass_by(5)
            with suppress(SyncError):
                cluster.turn()
        rest_for_one_audit_interval(cluster)
        if DIALECTS[there].zone_offset_seconds:
            rest_for_one_audit_interval(cluster)  # every job seems to have changed
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("total", ["filtered", "whole", "missing"])
    def test_pages_that_become_shorter_do_not_end_the_list(self, total: str) -> None:
        cluster = settled(600)
        spoken = replace(DOCUMENTED, total_count=total)  # type: ignore[arg-type]
        cluster.cluster.speak(spoken)
        rest_for_one_audit_interval(cluster)
        assert cluster.counted() == cluster.true_counts()
        cluster.cluster.speak(replace(spoken, page_cap=50))
        rest_for_one_audit_interval(cluster, doubts=3)
        rest_for_one_audit_interval(cluster)
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("count", [60, 500])
    @pytest.mark.parametrize("beyond", [-37, 1, 37, 5_000])
    @pytest.mark.parametrize("there", ["documented", "sort-ignored", "nothing-honoured"])
    def test_a_total_that_counts_something_else(self, there: str, beyond: int, count: int) -> None:
        """Deleted jobs too, perhaps: it is wrong by as much for the whole list at every call."""
        cluster = counting_something_else(there, beyond, count)
        traffic = Traffic(cluster)
        for _ in range(4):
            traffic.pass_by(3)
            with suppress(SyncError):
                cluster.turn()
        cluster.jobs.delete(
            [next(job.uuid for job in cluster.jobs.jobs() if job.status == "exited")]
        )
        rest_for_one_audit_interval(cluster, doubts=3)
        rest_for_one_audit_interval(cluster)
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("there", ["documented", "sort-ignored", "nothing-honoured"])
    def test_such_a_total_is_looked_at_again_and_no_sync_fails_for_it(self, there: str) -> None:
        cluster = counting_something_else(there, 37, 500)
        for _ in range(20):
            with suppress(SyncError):
                cluster.turn()
        cluster.replica = Replica(cluster.ledger, SETTINGS, Random(0))  # as after a restart
        traffic = Traffic(cluster)
        looks = set()
        for _ in range(7):
            for _ in range(10):
                traffic.pass_by(3)
                cluster.turn(120)
            rest_for_one_audit_interval(cluster)
            assert cluster.counted() == cluster.true_counts()
            assert cluster.ledger.progress.expected is None
            looks.add(cluster.ledger.progress.totals_ignored_times)
        assert looks == {1, 2, 3}
        cluster.distort = lambda page: page
        cluster.turn(86400)
        cluster.turn()
        assert cluster.ledger.progress.totals_ignored_times == 0
        assert cluster.ledger.progress.expected == len(cluster.jobs)
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("there", ["documented", "sort-ignored", "nothing-honoured"])
    def test_a_total_that_is_right_is_believed_against_pages_that_are_cut_short(
        self, there: str
    ) -> None:
        cluster = settled(600, there)
        dice = Random(4)

        def cut(page: Page) -> Page:
            length = dice.randrange(len(page.jobs) + 1) if dice.random() < 0.7 else len(page.jobs)
            return Page(page.jobs[:length], page.total_count, page.server_time_at)

        cluster.distort = cut
        for _ in range(30):
            with suppress(SyncError):
                cluster.turn()
                assert cluster.counted() == cluster.true_counts()
            assert cluster.ledger.progress.totals_ignored_times == 0

    def test_an_empty_list_with_a_total_stays_a_failure(self) -> None:
        """Nothing tells whether the total or the emptiness is wrong."""
        cluster = settled(600)
        known = cluster.counted()
        cluster.distort = lambda page: Page((), 600, page.server_time_at)
        for _ in range(30):
            with pytest.raises(SyncError):
                cluster.turn()
        assert cluster.counted() == known

    @pytest.mark.parametrize("count", [60, 500])
    def test_one_whole_look_reads_such_a_list_too(self, count: int) -> None:
        cluster = counting_something_else("documented", 37, count)
        cluster.full_look()
        assert cluster.counted() == cluster.true_counts()


def counting_something_else(dialect: str, beyond: int, count: int) -> PretendCluster:
    listed = JobList()
    fill(listed, count, active=count // 10, now_at=START_AT - 5)
    cluster = PretendCluster(DIALECTS[dialect], SETTINGS, jobs=listed)

    def distorted(page: Page) -> Page:
        total = page.total_count
        if total is not None and total >= len(cluster.jobs):
            total += beyond
        return Page(page.jobs, total, page.server_time_at)

    cluster.distort = distorted
    return cluster
