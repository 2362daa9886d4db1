"""Which transitions lie between two looks at one job: each counted once, none that was before."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.counters import CounterKey
from exporter.model import NO_STATUS, Job
from exporter.snapshot import WAIT_BUCKETS_SECONDS
from exporter.sync.intake import Counted, transitions

BEGAN = 1_000
BEFORE, SUBMIT, START, END = 900, 1_010, 1_030, 1_100


def job(
    status: str,
    submitted_at: int | None = SUBMIT,
    started_at: int | None = None,
    modified_at: int | None = SUBMIT,
) -> Job:
    return Job("u", status, "q", "someone", 1, submitted_at, started_at, modified_at)


PENDING = job("pending")
RUNNING = job("running", SUBMIT, START, START)
FINISHED = job("finished", SUBMIT, START, END)
CANCELLED_WAITING = job("cancelled", SUBMIT, None, END)
SUSPENDED = job("suspended", SUBMIT, START, START + 9)
REQUEUED = job("pending", SUBMIT, None, END)
OLD_PENDING = job("pending", BEFORE, None, BEFORE)
OLD_RUNNING = job("running", BEFORE, BEFORE + 5, BEFORE + 5)
OLD_FINISHED = job("finished", BEFORE, BEFORE + 5, BEFORE + 9)
SET_ASIDE = PENDING._replace(status="")
NO_STATUS_ANY_LONGER = FINISHED._replace(status=NO_STATUS)
RUNNING_SET_ASIDE = RUNNING._replace(status="")


def counted(old: Job | None, new: Job) -> str:
    """The transitions in short: ``S`` submitted, ``R`` started, ``E`` ended, ``w`` and ``r`` the
    observed waiting and running times."""
    letters = {"submitted": "S", "started": "R", "ended": "E", "waits": "w", "runs": "r"}
    return "".join(letters[found.key.kind] for found in transitions(old, new, began_at=BEGAN))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # A life, look by look.
        (None, PENDING, "S"),
        (PENDING, PENDING, ""),
        (PENDING, RUNNING, "Rw"),
        (RUNNING, RUNNING, ""),
        (RUNNING, SUSPENDED, ""),
        (SUSPENDED, RUNNING._replace(modified_at=START + 20), ""),
        (SUSPENDED, FINISHED, "Er"),
        (RUNNING, FINISHED, "Er"),
        (FINISHED, FINISHED, ""),
        # Several between two looks.
        (None, RUNNING, "SRw"),
        (None, FINISHED, "SRwEr"),
        (None, CANCELLED_WAITING, "SE"),
        (None, SUSPENDED, "SRw"),
        (PENDING, FINISHED, "RwEr"),
        (PENDING, CANCELLED_WAITING, "E"),
        (PENDING, SUSPENDED, "Rw"),
        # Before the ledger began.
        (None, OLD_PENDING, ""),
        (None, OLD_RUNNING, ""),
        (None, OLD_FINISHED, ""),
        (None, job("running", BEFORE, START, START), "Rw"),
        (None, job("finished", BEFORE, START, END), "RwEr"),
        (None, job("finished", BEFORE, BEFORE + 5, END), "Er"),
        (None, job("cancelled", BEFORE, None, END), "E"),
        (OLD_PENDING, job("running", BEFORE, START, START), "Rw"),
        (OLD_RUNNING, job("finished", BEFORE, BEFORE + 5, END), "Er"),
        # Requeued.
        (RUNNING, REQUEUED, ""),
        (REQUEUED, job("running", SUBMIT, END + 5, END + 5), "Rw"),
        (RUNNING, job("running", SUBMIT, END + 5, END + 5), "Rw"),
        (RUNNING, job("finished", SUBMIT, END + 5, END + 9), "RwEr"),
        (FINISHED, REQUEUED, ""),
        (FINISHED, job("running", SUBMIT, END + 5, END + 5), "Rw"),
        (FINISHED, job("finished", SUBMIT, END + 5, END + 9), "RwEr"),
        (FINISHED, job("exited", SUBMIT, END + 5, END + 9), "RwEr"),
        (job("pending", SUBMIT, START, END), job("running", SUBMIT, START, END + 5), "Rw"),
        (FINISHED, job("cancelled", SUBMIT, None, END + 9), "E"),
        # An end status that is put right is no second end.
        (FINISHED, FINISHED._replace(status="exited"), ""),
        (FINISHED, FINISHED._replace(modified_at=END + 50), ""),
        (FINISHED, FINISHED._replace(cores=3), ""),
        # Set aside, in no status, until it is seen where it is.
        (SET_ASIDE, RUNNING, "Rw"),
        (SET_ASIDE, FINISHED, "RwEr"),
        (SET_ASIDE, CANCELLED_WAITING, "E"),
        (SET_ASIDE, PENDING, ""),
        (RUNNING_SET_ASIDE, FINISHED, "Er"),
        (RUNNING_SET_ASIDE, RUNNING, ""),
        (RUNNING_SET_ASIDE, SUSPENDED, ""),
        # A record without a status, for a while: what it was before is not known any longer.
        (FINISHED, NO_STATUS_ANY_LONGER, ""),
        (NO_STATUS_ANY_LONGER, FINISHED, ""),
        (NO_STATUS_ANY_LONGER, FINISHED._replace(modified_at=END + 50), "Er"),
        (RUNNING._replace(status=NO_STATUS), FINISHED, "Er"),
        # A list that gives no start times, or only later.
        (PENDING, job("running"), "R"),
        (job("running"), job("finished", modified_at=END), "E"),
        (job("running"), RUNNING, ""),
        (job("running"), FINISHED, "Er"),
        (None, job("running"), "S"),
        # A list that gives no times at all.
        (None, job("pending", None, None, None), ""),
        (PENDING, job("cancelled", None, None, None), "E"),
        (RUNNING, job("finished", None, START, None), "E"),
        (PENDING, job("running", None, START, START), "R"),
        # Statuses that nobody has heard of.
        (None, job("frozen"), "S"),
        (PENDING, job("frozen"), ""),
        (job("frozen"), RUNNING, "Rw"),
        (job("stopped", SUBMIT, START, END), FINISHED, "Er"),
    ],
)
def test_table(old: Job | None, new: Job, expected: str) -> None:
    assert counted(old, new) == expected


def test_the_very_second_in_which_the_ledger_began_counts() -> None:
    assert counted(None, job("finished", BEGAN, BEGAN, BEGAN)) == "SRwEr"
    assert counted(None, job("finished", BEGAN - 1, BEGAN - 1, BEGAN - 1)) == ""


def test_labels_are_those_of_the_job_as_it_is_now() -> None:
    moved = FINISHED._replace(queue="other", status="exited")
    assert [found.key for found in transitions(PENDING, moved, began_at=BEGAN)] == [
        CounterKey("started", "other", ""),
        CounterKey("waits", "other", ""),
        CounterKey("ended", "other", "exited"),
        CounterKey("runs", "other", "exited"),
    ]


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (-5, 0),
        (0, 0),
        (30, 0),
        (31, 1),
        (60, 1),
        (61, 2),
        (604_800, 12),
        (604_801, 13),
        (10**9, 13),
    ],
)
def test_a_duration_belongs_to_the_first_bucket_that_is_not_smaller(
    seconds: int, bucket: int
) -> None:
    started = RUNNING._replace(started_at=SUBMIT + seconds)
    _, wait = transitions(PENDING, started, began_at=BEGAN)
    assert wait == Counted(CounterKey("waits", "q", ""), max(0, seconds), bucket)
    assert len(WAIT_BUCKETS_SECONDS) == 13


STATUSES = st.sampled_from(("pending", "running", "suspended", "finished", "exited", "cancelled"))
JOBS = st.builds(
    Job,
    uuid=st.just("u"),
    status=STATUSES,
    queue=st.just("q"),
    user=st.just("v"),
    cores=st.just(1),
    submitted_at=st.one_of(st.none(), st.integers(900, 1100)),
    started_at=st.one_of(st.none(), st.integers(900, 1100)),
    modified_at=st.one_of(st.none(), st.integers(900, 1100)),
)


@given(old=st.one_of(st.none(), JOBS), new=JOBS)
def test_nothing_is_counted_twice_at_one_look(old: Job | None, new: Job) -> None:
    kinds = [found.key.kind for found in transitions(old, new, began_at=BEGAN)]
    assert len(set(kinds)) == len(kinds)
    assert "submitted" not in kinds or old is None
    assert "waits" not in kinds or "started" in kinds
    assert "runs" not in kinds or "ended" in kinds
    assert "ended" not in kinds or new.ended


@given(job=JOBS)
def test_looking_again_counts_nothing(job: Job) -> None:
    assert transitions(job, job, began_at=BEGAN) == []


@st.composite
def lives(draw: st.DrawFn) -> list[Job]:
    """One job through its life, look by look, as a faithful list shows it."""
    at = draw(st.integers(1_000, 1_010))
    now = Job("u", "pending", "q", "v", 1, at, None, at)
    seen = [now]
    for _ in range(draw(st.integers(0, 8))):
        at += draw(st.integers(1, 50))
        if now.status == "pending":
            start = now._replace(status="running", started_at=at, modified_at=at)
            now = draw(st.sampled_from((start, now._replace(status="cancelled", modified_at=at))))
        elif now.status == "running":
            now = draw(
                st.sampled_from(
                    (
                        now._replace(status="finished", modified_at=at),
                        now._replace(status="suspended", modified_at=at),
                        now._replace(status="pending", started_at=None, modified_at=at),
                    )
                )
            )
        elif now.status == "suspended":
            now = now._replace(status="running", modified_at=at)
        else:
            break
        seen.append(now)
    return seen


@given(life=lives(), data=st.data())
def test_however_seldom_one_looks_a_life_is_counted_once(
    life: list[Job], data: st.DataObject
) -> None:
    """Looks may be missed; what the last look shows of starts and ends has been counted."""
    looked = [job for job in life[:-1] if data.draw(st.booleans())] + life[-1:]
    kinds = []
    old = None
    for new in looked:
        kinds += [found.key.kind for found in transitions(old, new, began_at=BEGAN)]
        old = new
    starts = sum(a.status == "pending" and b.status == "running" for a, b in pairwise(life))
    assert kinds.count("submitted") == 1
    assert kinds.count("ended") == int(life[-1].ended)
    assert kinds.count("started") <= starts
    assert kinds.count("started") >= int(life[-1].started_at is not None)
    if looked == life:
        assert kinds.count("started") == starts
