"""What no change of the head shows is found by a few paid checks, soon and for little."""

from dataclasses import replace
from itertools import pairwise, permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import BudgetExhausted
from exporter.model import END_STATUSES, JobListQuery
from exporter.profile import Profile, Trait
from exporter.simulator import DIALECTS, JobList, JobRow, fill
from exporter.sync.context import BY_CHANGE
from exporter.sync.verify import ACTIVE, PROBE, checks_of, due_checks, verify_total
from tests.unit.ledger.made import job
from tests.unit.sync.answers import AT, a_sync, converse, numbered
from tests.unit.sync.settled import (
    DAY,
    SETTINGS,
    TURNS_OF_AN_AUDIT_INTERVAL,
    newest_change_first,
    rest_for_one_audit_interval,
    settled,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster


class TestDue:
    NAMES = ("pending", "running", PROBE)

    def due(
        self,
        checked_at: dict[str, float],
        *,
        now_at: float = 10_000.0,
        quiet: bool = False,
        moved_at: float = float("inf"),
    ) -> list[str]:
        moved_at = moved_at if quiet else now_at
        return due_checks(self.NAMES, checked_at, now_at, SETTINGS, moved_at=moved_at)

    def test_at_first_all_are(self) -> None:
        assert self.due({}, quiet=True) == list(self.NAMES)
        assert self.due({}) == ["pending"]

    def test_while_the_list_moves_they_take_turns(self) -> None:
        now_at, ran = 10_000.0, []
        checked_at: dict[str, float] = {}
        for _ in range(200):
            for name in self.due(checked_at, now_at=now_at):
                checked_at[name] = now_at
                ran.append((name, now_at))
            now_at += 60
        names = [name for name, _ in ran]
        assert names[:6] == [*self.NAMES, *self.NAMES]
        gaps = {later - earlier for (_, earlier), (_, later) in pairwise(ran)}
        assert gaps == {1200.0}

    def test_at_rest_each_is_due_within_the_interval(self) -> None:
        checked_at = {"pending": 9_000.0, "running": 9_600.0, PROBE: 9_900.0}
        assert self.due(checked_at, quiet=True) == ["pending"]
        assert self.due(checked_at) == []

    def test_a_list_that_does_not_rest_for_long_is_checked_as_one_that_moves(self) -> None:
        checked_at = dict.fromkeys(self.NAMES, 9_000.0)
        assert self.due(checked_at, quiet=True, moved_at=9_761.0) == []
        assert self.due(checked_at, quiet=True, moved_at=9_760.0) == list(self.NAMES)

    def test_what_has_run_since_the_last_change_is_not_due(self) -> None:
        assert self.due(dict.fromkeys(self.NAMES, 9_400.0), quiet=True, moved_at=9_300.0) == []

    def test_a_last_change_in_the_future_puts_nothing_off(self) -> None:
        checked_at = {"pending": 9_000.0, "running": 9_600.0, PROBE: 9_900.0}
        assert self.due(checked_at, quiet=True, moved_at=1e10) == ["pending"]

    def test_what_ran_in_the_future_is_due(self) -> None:
        """A clock was wrong for a moment, this machine's or the cloud's."""
        assert self.due(dict.fromkeys(self.NAMES, 1e10), quiet=True) == list(self.NAMES)
        assert len(self.due(dict.fromkeys(self.NAMES, 1e10))) == 1

    @given(
        checked=st.dictionaries(st.sampled_from(NAMES), st.floats(0, 10_000)),
        quiet=st.booleans(),
    )
    def test_the_oldest_goes_first(self, checked: dict[str, float], quiet: bool) -> None:
        due = self.due(checked, quiet=quiet)
        times = [checked.get(name, 0.0) for name in due]
        assert times == sorted(times)
        assert all(10_000 - at >= 480 for at in times)
        assert len(due) <= (3 if quiet else 1)

    @pytest.mark.parametrize(
        ("filters", "statuses", "names"),
        [
            ("both", ("pending", "finished"), ("pending", "running", PROBE)),
            ("both", ("suspended",), ("pending", "running", PROBE, ACTIVE)),
            ("none", (), (ACTIVE, PROBE)),
            ("none", ("suspended",), (ACTIVE, PROBE)),
        ],
    )
    def test_which_make_sense(
        self, filters: str, statuses: tuple[str, ...], names: tuple[str, ...]
    ) -> None:
        profile = Profile(status_filter=Trait(filters))
        with a_sync(profile) as sync:
            jobs = [job(n, status) for n, status in enumerate(statuses)]
            sync.ledger.apply(jobs)
            assert checks_of(sync) == names


@pytest.mark.parametrize(
    ("depth", "complete"), [("unlimited", True), ("500", True), ("200", False)]
)
def test_a_total_that_fits_proves_nothing_if_it_is_the_depth(depth: str, complete: bool) -> None:
    """A server that shows no more jobs than that may not count more, either."""
    profile = Profile(order=Trait("change"), depth=Trait(depth))
    known = {"newest_at": AT, "expected": 200, "unread": 0, "known": "all"}
    with a_sync(profile, numbered(200), **known) as sync:
        converse(verify_total(sync, BY_CHANGE), lambda _: pytest.fail("no call is needed"))
        assert sync.progress.complete is complete


def change_without_a_trace(cluster: SimulatedCluster, kind: str, dice: Random) -> None:
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
        cluster = settled(1_003, dialect)
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

    @pytest.mark.parametrize("calls", [1, 2, 4])
    def test_so_does_the_search_for_what_was_deleted(self, calls: int) -> None:
        cluster = settled(2_000)
        cluster.jobs.delete(newest_change_first(cluster.jobs)[900:903])
        pending = [job.uuid for job in cluster.jobs.jobs() if job.status == "pending"]
        left = calls

        def spend(_: JobListQuery) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise BudgetExhausted("budget", "used up", until_at=0.0, advice="")

        cluster.before_call = spend
        cluster.now_at += 60
        cluster.jobs.start(pending[0], cluster.now_at)
        cluster.refresh()
        assert left < 0
        assert cluster.active_is_right()
        cluster.before_call = lambda query: None
        cluster.turn()
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
        for seed in range(2):
            change_without_a_trace(cluster, "end", Random(seed))
            rest_for_one_audit_interval(cluster)
            assert cluster.counted() == cluster.true_counts()
        assert cluster.refresh().strategy != "delta"

    @pytest.mark.parametrize("field", ["queue", "user"])
    def test_an_active_job_that_is_moved_to_another_name_is_found_in_time(self, field: str) -> None:
        """Beyond what is promised within one interval: statuses alone are counted."""
        cluster = settled(2_000)
        uuid = next(job.uuid for job in cluster.jobs.jobs() if job.status == "running")
        moved: dict[str, Any] = {field: "elsewhere"}
        cluster.jobs.edit(uuid, cluster.now_at, **moved)
        for _ in range(200):
            cluster.turn()
            if cluster.counted() == cluster.true_counts():
                break
        assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("seed", range(3))
def test_one_job_too_few_and_one_too_many_are_found_though_the_total_fits(seed: int) -> None:
    """They stand near one another, where few probes look: how many have ended in each way shows it."""
    cluster = settled(2_000, seed=seed)
    jobs = {job.uuid: job for job in cluster.jobs.jobs()}
    order = [jobs[uuid] for uuid in newest_change_first(cluster.jobs)]
    gone = next(job for job in order[1_000:] if job.status == "finished")
    at = int(order[1_200].modified_at)
    cluster.jobs.delete([gone.uuid])
    cluster.jobs.load_one(JobRow("exited", "q", "u", 1, at, at, at))
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize(("old", "new"), list(permutations(sorted(END_STATUSES), 2)))
def test_a_job_that_has_ended_in_another_way_is_found_though_nothing_stamps_it(
    old: str, new: str
) -> None:
    cluster = settled(2_000)
    uuid = next(job.uuid for job in cluster.jobs.jobs() if job.status == old)
    cluster.jobs.edit(uuid, cluster.now_at, status=new, moves_modified=False)
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()


def test_a_probe_in_a_crowd_of_one_second_looks_on_to_where_the_crowd_ends() -> None:
    """A page of a thousand jobs that were submitted together tells nothing by itself."""
    listed = JobList()
    fill(listed, 600, active=30, now_at=START_AT - 5)
    by_submission = sorted(listed.jobs(), key=lambda job: -job.submitted_at)
    at, newer_at = int(by_submission[300].submitted_at), int(by_submission[200].submitted_at)
    for _ in range(6_000):
        listed.load_one(JobRow("finished", "q", "u", 1, at, at, at + 60))
    dialect = replace(DIALECTS["sort-by-submitted-only"], total_count="whole")
    cluster = SimulatedCluster(dialect, SETTINGS, jobs=listed)
    for _ in range(2):
        cluster.turn()
    assert cluster.counted() == cluster.true_counts()
    cluster.jobs.delete([by_submission[-1].uuid])
    cluster.jobs.load_one(JobRow("finished", "q", "u", 1, newer_at, newer_at, newer_at + 60))
    before = cluster.calls
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()
    assert cluster.calls - before < 200  # the crowd is read once, to correct what differs


@pytest.mark.parametrize("seed", range(3))
def test_a_probe_in_a_crowd_of_one_second_takes_in_what_it_sees(seed: int) -> None:
    """Others stand there now than are known, and as many: no count shows it, nor does the crowd's end."""
    crowd, at = JobList(), int(START_AT) - 9_000
    row = JobRow("finished", "q", "u", 1, at, at, at)
    uuids = [crowd.load_one(row._replace(user=f"u{n % 6}")) for n in range(900)]
    for younger_at in range(at + 1, at + 101):
        crowd.load_one(row._replace(submitted_at=younger_at, modified_at=younger_at))
    later = {uuid: crowd.row(uuid) for uuid in uuids[1::6]}
    crowd.delete(later)
    cluster = SimulatedCluster(settings=SETTINGS, jobs=crowd, seed=seed)
    for _ in range(2):
        cluster.turn()
    assert cluster.ledger.progress.complete
    crowd.delete(uuids[4::6])
    for uuid, its_row in later.items():
        crowd.put_back(uuid, its_row)
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()


class TestBehindTheEdge:
    """A job that was suspended before the wanted history began: no page that is read has it."""

    @pytest.mark.parametrize(
        ("dialect", "status", "known"),
        [
            ("documented", "suspended", "all"),
            ("documented", "", "all"),
            ("documented", "held", "history"),
            ("statuses-refused", "suspended", "history"),
            ("statuses-refused", "", "all"),
            ("total-whole", "suspended", "history"),
            ("total-whole", "", "history"),
        ],
    )
    def test_other_active_jobs_are_found_or_not_called_known(
        self, dialect: str, status: str, known: str
    ) -> None:
        listed = JobList()
        fill(listed, 2_000, active=50, now_at=START_AT - 5)
        if status:
            at = int(START_AT - 30 * DAY)
            listed.load_one(JobRow(status, "q", "u", 1, at - 9, at - 5, at))
        settings = replace(SETTINGS, history_seconds=DAY)
        cluster = SimulatedCluster(DIALECTS[dialect], settings, jobs=listed)
        for _ in range(3):
            cluster.turn()
        assert cluster.ledger.progress.complete
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            cluster.turn()
        assert cluster.ledger.progress.known == known
        assert (cluster.counted() == cluster.true_counts()) == (known == "all" or not status)
