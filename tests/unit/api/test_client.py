"""The client: what it sends, what it makes of failures, how it retries; over a scripted transport."""

import logging
import traceback
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest

from exporter.api.client import FAILURE_REASONS, ClusterJobs, Credentials
from exporter.api.retry import RetryPolicy
from exporter.api.signature import sign
from exporter.api.transport import RawAnswer
from exporter.errors import (
    ApiError,
    BudgetExhausted,
    HttpStatusError,
    PayloadError,
    RefusedError,
    StateError,
    Stopped,
    TransportError,
)
from exporter.model import Job, JobListQuery
from tests.unit.api.answering import (
    KEY_ID,
    NOW_AT,
    SECRET,
    Outcome,
    World,
    answered,
    lost,
    problem,
    refused,
)

RECORD = {"hpcjob_uuid": "j1", "job_status": "running", "modified_time": "2021-08-19T16:44:40"}
PAGE = JobListQuery()


def page(date_at: float | None = None) -> RawAnswer:
    return answered(date_at=date_at, total_count=1, hpc_job_set=[RECORD])


def world(*outcomes: Outcome, **state: Any) -> World:
    return World(list(outcomes), **state)


def failure_of(jobs: ClusterJobs, query: JobListQuery = PAGE) -> ApiError:
    with pytest.raises(ApiError) as caught:
        jobs.list_jobs(query)
    return caught.value


# What is sent


COMMON = {
    "access_key_id": KEY_ID,
    "signature_method": "HmacSHA256",
    "signature_version": "1",
    "version": "1",
    "timestamp": "2021-08-19T16:44:40Z",
    "zone": "jinan1a",
    "cluster_id": "ehpc-qmmvigwe",
}


@pytest.mark.parametrize(
    ("query", "own"),
    [
        (JobListQuery(), {"limit": "100", "offset": "0"}),
        (
            JobListQuery(offset=200, limit=1, status="pending"),
            {"limit": "1", "offset": "200", "jobs_status": "pending", "job_status": "pending"},
        ),
        (
            JobListQuery(status="stopped", filter_names=("job_status",)),
            {"limit": "100", "offset": "0", "job_status": "stopped"},
        ),
        (JobListQuery(filter_names=("job_status",)), {"limit": "100", "offset": "0"}),
        (
            JobListQuery(sort_key="modified_time"),
            {"limit": "100", "offset": "0", "sort_key": "modified_time", "reverse": "1"},
        ),
        (
            JobListQuery(sort_key="job_id", descending=False),
            {"limit": "100", "offset": "0", "sort_key": "job_id", "reverse": "0"},
        ),
        (JobListQuery(descending=False), {"limit": "100", "offset": "0"}),
    ],
)
def test_what_is_sent(query: JobListQuery, own: dict[str, str]) -> None:
    cloud = world(page())
    cloud.jobs().list_jobs(query)
    sent = cloud.parameters()
    signature = unquote(sent.pop("signature"))
    assert sent == COMMON | own
    assert signature == sign("GET", "/api/job/list", sent, SECRET)


def test_no_empty_parameter_is_sent() -> None:
    cloud = world(page())
    jobs = cloud.client().cluster("cfd", cluster_id="ehpc-1", zone="", timezone=UTC)
    jobs.list_jobs(JobListQuery(status="", sort_key=""))
    sent = parse_qsl(urlsplit(cloud.urls[0]).query, keep_blank_values=True, strict_parsing=True)
    assert all(value for _, value in sent)
    assert {"zone", "jobs_status", "job_status", "sort_key"}.isdisjoint(dict(sent))
    assert dict(sent)["offset"] == "0"


@pytest.mark.parametrize("endpoint", ["https://hpc.example", "https://hpc.example/"])
def test_where_it_is_sent(endpoint: str) -> None:
    cloud = world(page())
    cloud.jobs(endpoint=endpoint).list_jobs(PAGE)
    assert cloud.urls[0].startswith("https://hpc.example/api/job/list?access_key_id=")


def test_what_comes_back() -> None:
    cloud = world(page(date_at=NOW_AT + 3))
    jobs = cloud.client().cluster(
        "cfd", cluster_id="c", zone="z", timezone=ZoneInfo("Asia/Shanghai")
    )
    got = jobs.list_jobs(PAGE)
    modified_at = int(NOW_AT) - 8 * 3600
    assert got.jobs == (Job("j1", "running", "", "", 0, None, None, modified_at),)
    assert (got.total_count, got.server_time_at) == (1, NOW_AT + 3)
    assert cloud.events == [
        ("admit", "cfd"),
        ("sent", "acc"),
        "passed",
        ("took", "acc", 0.25),
    ]


def test_a_query_may_say_which_zone_is_meant() -> None:
    cloud = world(page())
    jobs = cloud.client().cluster(
        "cfd", cluster_id="c", zone="z", timezone=ZoneInfo("Asia/Shanghai")
    )
    got = jobs.list_jobs(JobListQuery(zone_seconds=3600))
    assert got.jobs[0].modified_at == int(NOW_AT) - 3600
    assert got.zoneless


def test_names_that_were_cut_are_counted() -> None:
    body = page().body.replace(b'"running"', b'"running", "run_user": "' + b"u" * 500 + b'"')
    cloud = world(RawAnswer(200, body, None, 0.1))
    got = cloud.jobs().list_jobs(PAGE)
    assert len(got.jobs[0].user) == 200
    assert ("cut", "cfd", 1) in cloud.events


def test_clusters_of_one_account_are_told_apart() -> None:
    cloud = world(page())
    client = cloud.client()
    for name in ("a", "b"):
        client.cluster(name, cluster_id=f"id-{name}", zone="z", timezone=UTC).list_jobs(PAGE)
    assert [cloud.parameters(call)["cluster_id"] for call in (0, 1)] == ["id-a", "id-b"]
    assert [entry[1] for entry in cloud.events if entry[0] == "admit"] == ["a", "b"]


# What failures become


def too_many(retry_after: str) -> RawAnswer:
    return RawAnswer(429, b"", None, 0.1, (("retry-after", retry_after),))


HTML = b"<html>502 Bad Gateway</html>"
FAILURES: list[Any] = [
    (lost("timeout"), TransportError, "timeout", True),
    (lost("tls", retryable=False), TransportError, "tls", False),
    (RawAnswer(200, HTML, None, 0.1), PayloadError, "payload", True),
    (answered(hpc_job_set={}), PayloadError, "payload", False),
    (RawAnswer(502, HTML, None, 0.1), HttpStatusError, "http_5xx", True),
    (RawAnswer(503, b"", None, 0.1), HttpStatusError, "http_5xx", True),
    (answered(500, hpc_job_set=[RECORD]), RefusedError, "internal", True),
    (RawAnswer(429, b"", None, 0.1), HttpStatusError, "http_429", True),
    (RawAnswer(404, HTML, None, 0.1), HttpStatusError, "http_4xx", False),
    (answered(403), HttpStatusError, "http_4xx", False),
    (RawAnswer(204, b"", None, 0.1), HttpStatusError, "http_other", False),
    (answered(403, ret_code=1400), RefusedError, "denied", False),
    (answered(500, ret_code=5100), RefusedError, "busy", True),
    (refused(1100), RefusedError, "request", False),
    (problem(400), RefusedError, "request", False),
    (problem(404), RefusedError, "request", False),
    (problem(400, http_status=200), RefusedError, "request", False),
    (problem(401), HttpStatusError, "http_4xx", False),
    (problem(403), HttpStatusError, "http_4xx", False),
    (problem(407), HttpStatusError, "http_4xx", False),
    (problem(429), HttpStatusError, "http_429", True),
    (too_many("4"), HttpStatusError, "http_429", True),
    (too_many("60"), HttpStatusError, "http_429", False),
    (problem(500), RefusedError, "internal", True),
    (RawAnswer(500, HTML, None, 0.1), RefusedError, "internal", True),
    (problem(500, http_status=200), RefusedError, "internal", True),
    (answered(400, hpc_job_set=[RECORD], title="Bad Request"), HttpStatusError, "http_4xx", False),
    (refused(1101), RefusedError, "request", False),
    (refused(1200), RefusedError, "authentication", False),
    (refused(1300), RefusedError, "clock", False),
    (refused(1400), RefusedError, "denied", False),
    (refused(2100), RefusedError, "not_found", False),
    (refused(2500), RefusedError, "quota", False),
    (refused(5000), RefusedError, "internal", True),
    (refused(5300), RefusedError, "updating", True),
]


@pytest.mark.parametrize(("outcome", "kind", "reason", "retryable"), FAILURES)
def test_failures(outcome: Outcome, kind: type[ApiError], reason: str, retryable: bool) -> None:
    cloud = world(outcome)
    error = failure_of(cloud.jobs())
    assert type(error) is kind or (reason == "clock" and isinstance(error, kind))
    assert (error.reason, error.retryable) == (reason, retryable)
    assert error.reason in FAILURE_REASONS
    assert error.advice.endswith(".")
    calls = 3 if retryable else 1
    assert len(cloud.urls) == cloud.count("admit") == cloud.count("sent") == calls
    assert cloud.events.count(("failed", "acc", reason)) == cloud.count("took") == calls


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (page(), "passed"),
        (refused(1200), "passed"),
        (problem(400), "passed"),
        (answered(500, ret_code=2100), "passed"),
        (refused(2500), "over quota"),
        (answered(429, ret_code=2500), "over quota"),
        (RawAnswer(404, b"", None, 0.1), None),  # a gateway's answer says nothing of the quota
        (answered(hpc_job_set={}), None),
        (lost(retryable=False), None),
    ],
)
def test_the_gate_is_told_what_the_api_says_of_the_quota(
    outcome: Outcome, told: str | None
) -> None:
    cloud = world(outcome)
    if outcome == page():
        cloud.jobs().list_jobs(PAGE)
    else:
        failure_of(cloud.jobs())
    assert [entry for entry in cloud.events if entry in {"passed", "over quota"}] == (
        [told] if told else []
    )


def test_a_call_that_the_budget_refuses_is_not_sent() -> None:
    cloud = world(page(), admits=0)
    error = failure_of(cloud.jobs())
    assert isinstance(error, BudgetExhausted)
    assert (cloud.urls, cloud.events, cloud.slept) == ([], [], [])


def test_retries_are_asked_of_the_budget_too() -> None:
    cloud = world(lost(), admits=2)
    error = failure_of(cloud.jobs())
    assert isinstance(error, BudgetExhausted)
    assert len(cloud.urls) == 2


def test_reasons_are_distinct() -> None:
    assert len(set(FAILURE_REASONS)) == len(FAILURE_REASONS)


# Retries


def test_a_retry_waits_and_is_signed_anew() -> None:
    cloud = world(lost(), refused(5000), page())
    assert len(cloud.jobs().list_jobs(PAGE).jobs) == 1
    assert len(cloud.slept) == 2
    assert 1 <= cloud.slept[0] <= 2
    assert 3 <= cloud.slept[1] <= 6
    stamps = [cloud.parameters(call)["timestamp"] for call in range(3)]
    assert stamps == sorted(set(stamps))
    assert len({cloud.parameters(call)["signature"] for call in range(3)}) == 3


def test_retries_are_of_a_sync_and_not_of_a_call() -> None:
    cloud = world(lost(), page(), lost(), page(), lost())
    jobs = cloud.jobs()
    jobs.begin_sync()
    jobs.list_jobs(PAGE)
    jobs.list_jobs(PAGE)
    failure_of(jobs)
    assert len(cloud.urls) == 5
    jobs.begin_sync()
    failure_of(jobs)
    assert len(cloud.urls) == 8


def test_clusters_do_not_share_their_retries() -> None:
    cloud = world(lost())
    client = cloud.client()
    for name in ("a", "b"):
        failure_of(client.cluster(name, cluster_id=name, zone="z", timezone=UTC))
    assert len(cloud.urls) == 6


def test_a_long_sync_survives_rare_faults() -> None:
    def outcomes() -> Iterable[Outcome]:
        for _ in range(10):
            yield lost()
            yield from [page()] * 25

    cloud = world(*outcomes())
    jobs = cloud.jobs()
    jobs.begin_sync()
    for _ in range(250):
        jobs.list_jobs(PAGE)
    assert len(cloud.slept) == 10


def test_a_sync_that_cannot_succeed_has_failed_within_three_timeouts_and_ten_seconds() -> None:
    timeout_seconds = 30.0
    cloud = world(lost(), call_seconds=timeout_seconds)
    jobs = cloud.jobs()
    jobs.begin_sync()
    failure_of(jobs)
    assert cloud.elapsed <= 3 * timeout_seconds + 10


def test_a_stop_ends_the_waiting() -> None:
    cloud = world(lost(), page(), stopping=True)
    with pytest.raises(Stopped):
        cloud.jobs().list_jobs(PAGE)
    assert len(cloud.urls) == 1


def test_a_server_that_refuses_bursts_is_asked_more_slowly() -> None:
    sent: deque[float] = deque([float("-inf")] * 5, maxlen=5)
    refusals = 0

    def outcome(_: str) -> RawAnswer:
        nonlocal refusals
        if cloud.elapsed - sent[0] < 2:  # five calls in two seconds
            refusals += 1
            return RawAnswer(429, b"", None, 0.1)
        sent.append(cloud.elapsed)
        return page()

    cloud = world(outcome)
    jobs = cloud.jobs()
    for _ in range(4):
        jobs.begin_sync()
        for _ in range(50):
            jobs.list_jobs(PAGE)
    assert 0 < refusals <= 10


def waits_of(cloud: World, jobs: ClusterJobs) -> int:
    """How many times 50 calls wait."""
    slept = len(cloud.slept)
    for _ in range(50):
        jobs.list_jobs(PAGE)
    return len(cloud.slept) - slept


def test_a_cluster_whose_calls_are_refused_keeps_no_other_waiting() -> None:
    cloud = world(lambda url: too_many("1") if "ehpc-refused" in url else page())
    client = cloud.client()
    refused_one, other = (
        client.cluster(name, cluster_id=f"ehpc-{name}", zone="jinan1a", timezone=UTC)
        for name in ("refused", "other")
    )
    failure_of(refused_one)
    assert waits_of(cloud, other) == 0


def test_once_no_burst_is_refused_any_longer_calls_are_sent_at_once_again() -> None:
    cloud = world(too_many("1"), page())
    jobs = cloud.jobs()
    for _ in range(300):
        jobs.list_jobs(PAGE)
    assert waits_of(cloud, jobs) == 0


def test_a_retry_comes_no_sooner_than_the_server_asks_for() -> None:
    cloud = world(too_many("4"), page())
    cloud.jobs().list_jobs(PAGE)
    assert sum(cloud.slept) == 4


def test_without_retries_none_is_made() -> None:
    cloud = world(lost())
    failure_of(cloud.jobs(policy=RetryPolicy(retries=0)))
    assert len(cloud.urls) == 1


# The server's clock


def server(skew_seconds: float, cloud: World, date_skew_seconds: float | None) -> Outcome:
    """A server whose clock is off from ours, and what its ``Date`` says (None: nothing)."""

    def answer(url: str) -> RawAnswer:
        stamp = dict(parse_qsl(urlsplit(url).query))["timestamp"]
        signed_at = datetime.fromisoformat(stamp).timestamp()
        date_at = None if date_skew_seconds is None else float(int(cloud.now + date_skew_seconds))
        if abs(signed_at - (cloud.now + skew_seconds)) > 60:
            return refused(1300, "RequestHasExpired", date_at)
        return page(date_at)

    return answer


@pytest.mark.parametrize("skew_seconds", [-86400.0, -61.5, 62.5, 3600.0])
def test_a_wrong_clock_is_corrected_at_once_and_for_good(skew_seconds: float) -> None:
    cloud = world()
    cloud.outcomes = [server(skew_seconds, cloud, skew_seconds)]
    jobs = cloud.jobs()
    for _ in range(3):
        jobs.list_jobs(PAGE)
    assert len(cloud.urls) == 4
    assert cloud.slept == []
    assert cloud.events.count(("failed", "acc", "clock")) == 1


def test_a_correction_leaves_the_retries_alone() -> None:
    cloud = world(refused(1300, date_at=NOW_AT + 600), lost(), lost(), page())
    cloud.jobs().list_jobs(PAGE)
    assert len(cloud.urls) == 4


def test_a_clock_that_is_set_right_later_is_followed() -> None:
    cloud = world()
    jobs = cloud.jobs()
    for skew_seconds in (600.0, 0.0):
        cloud.outcomes = [server(skew_seconds, cloud, skew_seconds)]
        jobs.list_jobs(PAGE)
        jobs.list_jobs(PAGE)
    assert len(cloud.urls) == 6


@pytest.mark.parametrize(
    ("skew_seconds", "date_skew_seconds", "calls", "words"),
    [
        (600.0, None, 1, "with code 1300 (request time too far from the server's clock)"),
        (600.0, 0.0, 1, "but the answer's Date agrees with this machine's clock"),
        (600.0, 300.0, 2, "this machine's clock is 300 s behind the server's"),
        (-600.0, -300.0, 2, "this machine's clock is 300 s ahead of the server's"),
    ],
)
def test_a_clock_that_cannot_be_corrected(
    skew_seconds: float, date_skew_seconds: float | None, calls: int, words: str
) -> None:
    cloud = world()
    cloud.outcomes = [server(skew_seconds, cloud, date_skew_seconds)]
    jobs = cloud.jobs()
    error = failure_of(jobs)
    assert isinstance(error, RefusedError)
    assert (error.ret_code, error.reason, error.retryable) == (1300, "clock", False)
    assert words in str(error)
    assert ("chrony" in error.advice) is (date_skew_seconds != 0.0)
    assert (str(date_skew_seconds)[-5:-2] in error.advice) is (calls == 2)
    assert len(cloud.urls) == calls


def test_a_date_that_misleads_does_not_stick() -> None:
    cloud = world()
    jobs = cloud.jobs()
    cloud.outcomes = [refused(1300, date_at=NOW_AT + 5000), refused(1300, date_at=NOW_AT + 9000)]
    failure_of(jobs)
    cloud.outcomes = [server(0.0, cloud, 5000.0)]
    jobs.list_jobs(PAGE)
    assert len(cloud.urls) == 3


def test_clusters_of_one_account_share_the_correction() -> None:
    cloud = world()
    cloud.outcomes = [server(600.0, cloud, 600.0)]
    client = cloud.client()
    for name in ("a", "b"):
        client.cluster(name, cluster_id=name, zone="z", timezone=UTC).list_jobs(PAGE)
    assert len(cloud.urls) == 3


# Keys


def test_renewed_keys_are_used_from_the_next_call_on() -> None:
    cloud = world(page())
    jobs = cloud.jobs()
    jobs.list_jobs(PAGE)
    cloud.keys = [Credentials("NEW-KEY-ID", "new-secret")]
    jobs.list_jobs(PAGE)
    assert [cloud.parameters(call)["access_key_id"] for call in (0, 1)] == [KEY_ID, "NEW-KEY-ID"]


def test_keys_renewed_while_the_old_ones_are_refused_are_tried_at_once() -> None:
    cloud = world(page())

    def refuse_and_renew(_: str) -> RawAnswer:
        cloud.keys = [Credentials("NEW-KEY-ID", "new-secret")]
        return refused(1200)

    cloud.outcomes = [refuse_and_renew, page()]
    cloud.jobs().list_jobs(PAGE)
    assert cloud.parameters()["access_key_id"] == "NEW-KEY-ID"
    assert cloud.slept == []


def test_keys_that_change_at_every_call_do_not_make_a_loop() -> None:
    numbers = iter(range(1000))
    cloud = world(refused(1200))
    failure_of(cloud.jobs(credentials=lambda: Credentials(f"id-{next(numbers)}", "secret")))
    assert len(cloud.urls) == 2


def test_keys_that_cannot_be_had() -> None:
    def unreadable() -> Credentials:
        raise StateError("/run/secrets/ehpc: permission denied")

    cloud = world(page())
    error = failure_of(cloud.jobs(credentials=unreadable))
    assert error.reason == "authentication"
    assert "/run/secrets/ehpc: permission denied" in str(error)
    assert (cloud.urls, cloud.events) == ([], [])


def test_after_a_refusal_the_keys_are_asked_for_in_another_way() -> None:
    def after_refusal() -> Credentials:
        cloud.keys[0] = Credentials("other", "secret")
        return cloud.keys[0]

    cloud = world(refused(1200), page())
    jobs = cloud.jobs(credentials_after_refusal=after_refusal)
    assert jobs.list_jobs(PAGE).jobs
    ids = [cloud.parameters(call)["access_key_id"] for call in (0, 1)]
    assert ids == [KEY_ID, "other"]


# A slash in a value


def picky(cloud: World, *, plain_slash: bool) -> Outcome:
    """A server that signs a slash one way only."""

    def answer(url: str) -> RawAnswer:
        sent = dict(parse_qsl(urlsplit(url).query, strict_parsing=True))
        given = unquote(sent.pop("signature"))
        right = given == sign("GET", "/api/job/list", sent, SECRET, plain_slash=plain_slash)
        return page() if right else refused(1200)

    return answer


@pytest.mark.parametrize("plain_slash", [False, True])
def test_a_slash_is_signed_as_the_server_takes_it(plain_slash: bool) -> None:
    cloud = world()
    cloud.outcomes = [picky(cloud, plain_slash=plain_slash)]
    client = cloud.client()
    for zone in ("jn1/a", "jn1/b", "jn1a"):
        jobs = client.cluster("cfd", cluster_id="ehpc-1", zone=zone, timezone=UTC)
        assert len(jobs.list_jobs(PAGE).jobs) == 1
    assert len(cloud.urls) == (4 if plain_slash else 3)
    assert cloud.slept == []


def test_a_slash_is_no_reason_to_go_on_with_wrong_keys() -> None:
    cloud = world(refused(1200))
    jobs = cloud.client().cluster("cfd", cluster_id="ehpc/1", zone="z", timezone=UTC)
    assert failure_of(jobs).reason == "authentication"
    assert len(cloud.urls) == 2


# Records that cannot be counted


def test_what_is_left_out_is_named_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    nameless = {"job_id": 7, "job_status": "running", "job_name": "secret"}
    unknown = {"hpcjob_uuid": "j2", "job_id": 8, "job_status": None, "cmd_line": "secret"}
    other = {"hpcjob_uuid": "j3", "job_status": ""}
    records = [RECORD, nameless, unknown, other]
    cloud = world(
        answered(hpc_job_set=records),
        answered(hpc_job_set=records),
        answered(hpc_job_set=[unknown | {"job_id": 9}, other]),
        page(),
    )
    jobs = cloud.jobs()
    for _ in range(4):
        jobs.list_jobs(PAGE)
    told = [(line.levelname, line.getMessage(), vars(line)) for line in caplog.records]
    assert {(level, text) for level, text, _ in told} == {
        ("WARNING", "records of the list cannot be counted")
    }
    assert [(line["cluster"], line["reason"], line["job_ids"]) for *_, line in told] == [
        ("cfd", "identity", "7"),
        ("cfd", "status", "unknown 8"),
        ("cfd", "status", "9"),
    ]
    assert "secret" not in str(told)


def test_a_list_full_of_what_is_left_out_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pages = [
        [{"job_id": number, "job_status": "running"} for number in range(first, first + 100)]
        for first in range(0, 1000, 50)
    ]
    cloud = world(*(answered(hpc_job_set=records) for records in pages))
    jobs = cloud.jobs()
    for _ in pages:
        jobs.list_jobs(PAGE)
    named = [number for line in caplog.records for number in vars(line)["job_ids"].split()]
    assert sorted(named, key=int) == [str(number) for number in range(100)]
    assert len(caplog.records) == 1


# What must not be shown


def test_credentials_are_not_shown() -> None:
    credentials = Credentials(KEY_ID, SECRET)
    assert f"{credentials!r} {credentials}" == "Credentials() Credentials()"


@pytest.mark.parametrize("code", [400, 1200, 1300, 1400, 5000])
def test_no_error_shows_a_key_or_a_signature(code: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(url: str) -> RawAnswer:
        signature = urlsplit(url).query.rpartition("signature=")[2]
        once = unquote(signature)
        spelled = "".join(f"%{ord(character):02x}" for character in SECRET)
        words = f"{KEY_ID} {SECRET} {spelled} {signature} {once} {unquote(once)} {url}"
        if code == 400:
            return problem(400, detail=words)
        return refused(code, words, date_at=NOW_AT)

    cloud = world(answer)
    error = failure_of(cloud.jobs())
    shown = "".join(traceback.format_exception(error)) + repr(error) + error.advice + caplog.text
    assert "***" in str(error)
    signature = unquote(cloud.parameters()["signature"])
    for hidden in (
        KEY_ID,
        SECRET,
        "%53%45",
        signature,
        quote(signature, safe=""),
        signature.rstrip("="),
    ):
        assert hidden not in shown
