"""The client and the simulated cloud, which shares no code with it, agree on the wire."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal

import pytest

from exporter.api.client import ClusterJobs
from exporter.api.retry import RetryPolicy
from exporter.errors import ApiError, RefusedError
from exporter.model import NO_IDENTITY, NO_STATUS, Job, JobListQuery
from exporter.simulator.dialect import DIALECTS, Dialect
from exporter.simulator.fault_kinds import fault_names
from exporter.simulator.list_faults import LIST_FAULTS
from tests.e2e.meeting import CLUSTER, JOBS, Meeting, fill
from tests.waiting import PATIENCE_SECONDS, until

TIMEOUT_SECONDS = 2.0
"""Where it is to be run into."""


@pytest.fixture
def meet() -> Iterator[Callable[..., Meeting]]:
    with ExitStack() as stack:
        yield lambda **options: Meeting(stack, **options)


Meet = Callable[..., Meeting]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_is_read_job_for_job(meet: Meet, dialect: Dialect) -> None:
    meeting = meet(dialect=dialect)
    got = list(meeting.walk())
    assert sorted(got) == sorted(meeting.truth())
    assert len(got) == JOBS
    assert meeting.told.failures == []
    assert meeting.server.connections == 1


@pytest.mark.parametrize("status", ["pending", "running", "finished", "exited"])
def test_a_status_is_asked_for(meet: Meet, status: str) -> None:
    meeting = meet()
    expected = [job for job in meeting.truth() if job.status == status]
    assert sorted(meeting.walk(status)) == sorted(expected)
    page = meeting.jobs.list_jobs(JobListQuery(limit=1, status=status))
    assert page.total_count == len(expected)


@pytest.mark.parametrize("descending", [True, False])
def test_an_order_is_asked_for(meet: Meet, descending: bool) -> None:
    meeting = meet()
    query = JobListQuery(sort_key="modified_time", descending=descending, limit=20)
    got = [job.modified_at for job in meeting.jobs.list_jobs(query).jobs]
    expected = sorted((job.modified_at or 0 for job in meeting.truth()), reverse=descending)
    assert got == expected[:20]


@pytest.mark.parametrize("skew_seconds", [-100_000.0, -90.0, 90.0, 100_000.0])
def test_clocks_that_disagree(meet: Meet, skew_seconds: float) -> None:
    meeting = meet(skew_seconds=skew_seconds)
    assert len(list(meeting.walk())) == JOBS
    assert meeting.told.failures == ["clock"]
    page = meeting.jobs.list_jobs(JobListQuery(limit=1))
    assert page.server_time_at is not None
    assert page.server_time_at - time.time() == pytest.approx(skew_seconds, abs=60)


REFUSALS = {
    "wrong secret": (lambda meeting: meeting.jobs, {"secret": "another"}, "authentication"),
    "unknown cluster": (lambda meeting: meeting.cluster("ehpc-none"), {}, "not_found"),
    "unknown zone": (lambda meeting: meeting.cluster(CLUSTER, "nowhere"), {}, None),
}


@pytest.mark.parametrize(("ask", "options", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(
    meet: Meet,
    ask: Callable[[Meeting], ClusterJobs],
    options: dict[str, str],
    reason: str | None,
) -> None:
    meeting = meet(**options)
    with pytest.raises(ApiError) as caught:
        ask(meeting).list_jobs(JobListQuery())
    assert caught.value.reason in ({reason} if reason else {"denied", "not_found", "request"})
    assert not caught.value.retryable
    assert meeting.told.sent == 1


STRICT = replace(DIALECTS["documented"], unknown_param="problem", unknown_sort_key="problem")


@pytest.mark.parametrize("query", [JobListQuery(status="running"), JobListQuery(sort_key="size")])
def test_a_problem_document_is_a_refusal_of_the_request(meet: Meet, query: JobListQuery) -> None:
    meeting = meet(dialect=STRICT)
    with pytest.raises(RefusedError) as caught:
        meeting.jobs.list_jobs(query)
    assert (caught.value.reason, caught.value.retryable) == ("request", False)
    assert "HTTP status 400" in str(caught.value)
    assert meeting.told.failures == ["request"]


@pytest.mark.parametrize(
    ("signed_slash", "failures"),
    [("either", []), ("encoded", []), ("plain", ["authentication"])],
)
def test_a_slash_is_signed_as_the_server_takes_it(
    meet: Meet, signed_slash: Literal["either", "encoded", "plain"], failures: list[str]
) -> None:
    meeting = meet()
    dialect = replace(DIALECTS["documented"], signed_slash=signed_slash)
    fill(meeting.cloud.add_cluster("ehpc/1", dialect=dialect))
    for _ in range(2):
        assert len(meeting.cluster("ehpc/1").list_jobs(JobListQuery()).jobs) == 100
    assert meeting.told.failures == failures


HARMLESS = {
    "total-zero",
    "empty-page",
    "negative-cores",
    "text-cores",
    "huge-cores",
    "absurd-times",
    "huge-text",
    "not-utf8-in-name",
    "surrogate-in-name",
    "nan-memory",
    "tab-in-path",
    "backslash-in-path",
    "newline-in-path",
    "slow",
}
"""Nothing that a client could see is wrong with these: one page cannot tell, or it does not count."""
ODD_USERS = "not-utf8"
"""With this, all users have names that are no UTF-8."""
LEFT_OUT = {
    "no-identity": NO_IDENTITY,
    "empty-identity": NO_IDENTITY,
    "identity-number": NO_IDENTITY,
    "null-record": NO_IDENTITY,
    "no-status": NO_STATUS,
    "null-status": NO_STATUS,
    "status-number": NO_STATUS,
    "lasting-no-identity": NO_IDENTITY,
    "lasting-nameless": NO_IDENTITY,
    "lasting-null-status": NO_STATUS,
}
"""With these, some records cannot be counted, and why."""
REASONS = {
    "ret-1100": "request",
    "ret-1101": "request",
    "ret-1200": "authentication",
    "ret-1300": "clock",
    "ret-1400": "denied",
    "ret-2100": "not_found",
    "ret-2500": "quota",
    "ret-4100": "licence",
    "ret-5000": "internal",
    "ret-5100": "busy",
    "ret-5300": "updating",
    "http-429": "http_429",
    "http-500": "internal",
    "close": "connection",
    "close-midway": "connection",
    "reset": "connection",
    "reset-midway": "connection",
    "stall": "timeout",
    "stall-midway": "timeout",
    "drip": "timeout",
    "drip-head": "timeout",
    "flood": "too_large",
    "flood-head": "connection",
    "redirect": "redirect",
    "redirect-permanently": "redirect",
    "length-too-long": "timeout",
    "length-too-short": "payload",
    "gzip-bomb": "too_large",
    "garbage": "connection",
}
NO_TOTALS = {"total-negative", "total-huge", "total-text"}
FAULTS = [
    name for name in fault_names()
    if name not in {ODD_USERS, *HARMLESS, *LEFT_OUT, *LIST_FAULTS, *NO_TOTALS}
]  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_told_by_its_reason_and_gone_after_it(meet: Meet, name: str) -> None:
    by_status = f"http_{name[5]}xx" if name.startswith("http-") else "payload"
    reason = REASONS.get(name, by_status)
    timeout_seconds = TIMEOUT_SECONDS if reason == "timeout" else PATIENCE_SECONDS
    meeting = meet(policy=RetryPolicy(retries=0), timeout_seconds=timeout_seconds)
    meeting.cloud.faults.add(name, next_calls=1)
    with pytest.raises(ApiError) as caught:
        meeting.jobs.list_jobs(JobListQuery())
    assert caught.value.reason == reason
    assert meeting.told.failures == [caught.value.reason]
    assert meeting.told.locked_out == (name == "ret-2500")

    def answer() -> Sequence[Job] | None:
        try:
            return meeting.jobs.list_jobs(JobListQuery()).jobs
        except ApiError as late:
            if (late.reason, timeout_seconds) != ("timeout", TIMEOUT_SECONDS):
                raise
            return None  # the machine is busy

    assert len(until(answer, "an answer in time")) == 100


@pytest.mark.parametrize("name", sorted(NO_TOTALS))
def test_a_total_that_is_no_number_of_jobs_is_none(meet: Meet, name: str) -> None:
    meeting = meet()
    meeting.cloud.faults.add(name)
    page = meeting.jobs.list_jobs(JobListQuery())
    assert (len(page.jobs), page.total_count) == (100, None)


@pytest.mark.parametrize("name", sorted(HARMLESS - {"slow", "empty-page"}))
def test_what_no_page_can_tell_is_a_page(meet: Meet, name: str) -> None:
    meeting = meet()
    meeting.cloud.faults.add(name)
    got = meeting.jobs.list_jobs(JobListQuery()).jobs
    whole = {job.uuid: job for job in meeting.truth()}
    assert len(got) == 100
    assert all(whole[job.uuid] == job for job in got[1:])
    first = whole[got[0].uuid]
    assert (got[0].uuid, got[0].status, got[0].queue) == (first.uuid, first.status, first.queue)


def test_names_in_another_encoding_are_names(meet: Meet) -> None:
    meeting = meet()
    right = meeting.jobs.list_jobs(JobListQuery()).jobs
    meeting.cloud.faults.add(ODD_USERS)
    odd = meeting.jobs.list_jobs(JobListQuery()).jobs
    assert [job._replace(user="") for job in odd] == [job._replace(user="") for job in right]
    assert len({job.user.encode() for job in odd}) == len({job.user for job in right}) > 1


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_record_that_cannot_be_counted_leaves_the_others_right(meet: Meet, name: str) -> None:
    meeting = meet()
    right = meeting.jobs.list_jobs(JobListQuery()).jobs
    meeting.cloud.faults.add(name)
    page = meeting.jobs.list_jobs(JobListQuery())
    changed = [(old, new) for old, new in zip(right, page.jobs, strict=True) if old != new]
    assert 0 < len(changed) == len(page.left_out) < 10
    for (old, new), left_out in zip(changed, page.left_out, strict=True):
        assert left_out.status == new.status == LEFT_OUT[name]
        if new.status == NO_STATUS:
            assert new.uuid == old.uuid
        elif left_out.job_id:
            assert new == old._replace(uuid=f"job_id:{left_out.job_id}", status=new.status)
        else:
            assert new.uuid.startswith("written:")
    assert meeting.told.failures == []


def test_a_fault_now_and_then_is_survived(meet: Meet) -> None:
    meeting = meet()
    meeting.cloud.faults.add("ret-5100", every=3)
    meeting.jobs.begin_sync()
    assert sorted(meeting.walk()) == sorted(meeting.truth())
    assert meeting.told.failures == ["busy"]
