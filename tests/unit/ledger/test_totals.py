"""What a ledger adds up is what a plain loop over its jobs does, and followers are told of every change."""

from collections import Counter
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.ledger.records import JobTotals
from exporter.ledger.totals import GroupKey, Log, Totals
from exporter.model import END_STATUSES, Job, hidden

JOBS = st.builds(
    Job,
    uuid=st.sampled_from("abcdef"),
    status=st.sampled_from(["pending", "running", "finished", "suspended", "", "_none"]),
    queue=st.sampled_from("qr"),
    user=st.sampled_from("uv"),
    cores=st.integers(0, 3),
    submitted_at=st.none(),
    started_at=st.none(),
    modified_at=st.none(),
)
STEPS = st.lists(JOBS | st.sampled_from(["keep", "undo", "look", "follow", "pairs"]), max_size=40)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS)
def test_what_is_added_up_is_what_there_is(steps: list[Job | str]) -> None:
    totals = Totals([])
    kept: dict[str, Job] = {}
    jobs: dict[str, Job] = {}
    log = totals.start_log()
    seen: dict[GroupKey, JobTotals] = {}
    were_active: set[tuple[str, str]] = set()
    for step in [*steps, "look"]:
        if isinstance(step, Job):
            gone = jobs.get(step.uuid) == step
            totals.move([(jobs.pop(step.uuid, None), None if gone else step)])
            if not gone:
                jobs[step.uuid] = step
            were_active |= _active_pairs(jobs)
        elif step == "keep":
            totals.committed()
            kept = dict(jobs)
        elif step == "undo":
            totals.rolled_back()
            jobs = dict(kept)
        elif step == "follow":
            old, log, seen = log, totals.start_log(), {}
            assert totals.log is not old
        elif step == "pairs":
            assert totals.take_idle_pairs() <= were_active - _active_pairs(jobs)
        else:
            seen = _look(totals, log, seen)
            assert seen == _by_group(jobs)
        _is_right(totals, jobs)


def test_a_pair_that_lost_its_last_active_job_is_told_once() -> None:
    running = Job("a", "running", "q", "u", 1, None, None, None)
    totals = Totals([(("pending", "q", "u"), 1, 1), (("running", "q", "u"), 1, 1)])
    totals.move([(running, running._replace(status="finished"))])
    assert not totals.take_idle_pairs()
    totals.move([(running._replace(status="pending"), None)])
    assert totals.take_idle_pairs() == {("q", "u")}
    assert not totals.take_idle_pairs()
    totals.rolled_back()
    assert totals.active_groups(("q", "u")) == 2


def _look(totals: Totals, log: Log, seen: dict[GroupKey, JobTotals]) -> dict[GroupKey, JobTotals]:
    assert totals.log is log
    for key, before in log.items():
        assert seen.get(key, JobTotals(0, 0)) == before
    now = {**seen, **{key: totals.group(key) for key in log}}
    log.clear()
    return {key: value for key, value in now.items() if value.jobs}


def _is_right(totals: Totals, jobs: dict[str, Job]) -> None:
    assert totals.by_group() == _by_group(jobs)
    assert totals.size == len(jobs)
    statuses = Counter(job.status for job in jobs.values())
    for status in ("pending", "finished", "", "unheard of"):
        assert totals.in_status(status) == statuses[status]
    assert {pair for pair in product("qr", "uv") if totals.active_groups(pair)} == _active_pairs(
        jobs
    )
    assert totals.active_statuses() == {s for s in statuses if _is_active(s)}


def _is_active(status: str) -> bool:
    return status not in END_STATUSES and not hidden(status)


def _active_pairs(jobs: dict[str, Job]) -> set[tuple[str, str]]:
    return {(job.queue, job.user) for job in jobs.values() if _is_active(job.status)}


def _by_group(jobs: dict[str, Job]) -> dict[GroupKey, JobTotals]:
    found: dict[GroupKey, JobTotals] = {}
    for job in jobs.values():
        key = (job.status, job.queue, job.user)
        before = found.get(key, JobTotals(0, 0))
        found[key] = JobTotals(before.jobs + 1, before.cores + job.cores)
    return found
