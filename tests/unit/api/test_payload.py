"""Decoding answers of job/list: tolerant in form, intolerant of wrong counts."""

import json
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.answer import find_refusal
from exporter.api.payload import decode_page
from exporter.errors import ApiError, PayloadError, RefusedError
from exporter.model import NO_IDENTITY, NO_STATUS, Job, JobListQuery, LeftOut, Page, hidden

AT = 1629381981  # 2021-08-19T14:06:21Z
SECRET_CONTENT = "do-not-show-this"
SHANGHAI = ZoneInfo("Asia/Shanghai")
DEFAULTS: dict[str, Any] = {
    "hpcjob_uuid": "hpcjob-vka21yhq",
    "job_id": 19453,
    "job_name": f"作业-{SECRET_CONTENT}",
    "job_status": "running",
    "run_user": "usr-vceaHsJu",
    "queue_name": "默认队列",
    "name": "chosen",
    "hpq_name": "owning",
    "scheduler_queue_name": "vis",
    "hpcqueue_id": "hpcq-df3u98dr",
    "categories": "share_queue",
    "core_limit": 4,
    "mem_limit": None,
    "job_node_list": "[]",
    "submitted_time": "2021-08-19T14:06:21",
    "started_time": "2021-08-19T14:06:41",
    "modified_time": "2021-08-19T14:07:41",
    "cmd_line": f"#!/bin/sh\n{SECRET_CONTENT}",
}
JOB = Job("hpcjob-vka21yhq", "running", "默认队列", "usr-vceaHsJu", 4, AT, AT + 20, AT + 80)


def record(**fields: Any) -> dict[str, Any]:
    """A record as the API writes it; ``...`` leaves a field out."""
    return {name: value for name, value in (DEFAULTS | fields).items() if value is not ...}


def answer(*records: Any, **fields: Any) -> bytes:
    """An answer with these records; ``...`` leaves a field out."""
    whole = {
        "action": "HpcJobListJobsResponse",
        "ret_code": 0,
        "total_count": len(records),
        "hpc_job_set": list(records),
    } | fields
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def decode(body: bytes, zone: tzinfo = UTC) -> Page:
    return decode_page(body, timezone=zone)


def job(zone: tzinfo = UTC, **fields: Any) -> Job:
    [only] = decode(answer(record(**fields)), zone).jobs
    return only


def test_a_page() -> None:
    body = answer(record(), record(hpcjob_uuid="hpcjob-2"), total_count=12345)
    page = decode_page(body, timezone=UTC, server_time_at=AT + 100.0)
    assert page == Page(
        (JOB, JOB._replace(uuid="hpcjob-2")),
        12345,
        server_time_at=AT + 100.0,
        zoneless=True,
        bare=frozenset({"hpcjob-vka21yhq", "hpcjob-2"}),
    )


@pytest.mark.parametrize(
    ("submitted", "modified", "bare"),
    [("Z", "", True), ("", "Z", False), ("", None, True), ("Z", None, False)],
)
def test_a_job_whose_times_differ_in_form_is_bare_as_its_last_one(
    submitted: str, modified: str | None, bare: bool
) -> None:
    at = "2021-08-19T14:06:10"
    body = answer(record(
        submitted_time=at + submitted, modified_time=None if modified is None else at + modified,
    ))  # fmt: skip
    assert bool(decode(body).bare) is bare


@pytest.mark.parametrize("ret_code", [0, "0", " 0 ", 0.0, "0.0"])
@pytest.mark.parametrize(
    ("total_count", "expected"),
    [
        (1, 1),
        ("12", 12),
        (" 12 ", 12),
        (12.0, 12),
        ("12.0", 12),
        (0, 0),
        (None, None),
        ("", None),
        (..., None),
    ],
)
def test_numbers_of_the_answer_in_any_form(
    ret_code: Any, total_count: Any, expected: int | None
) -> None:
    page = decode(answer(record(), ret_code=ret_code, total_count=total_count))
    assert page.total_count == expected
    assert page.jobs == (JOB,)


@pytest.mark.parametrize(
    "fields",
    [
        {"hpc_job_set": []},
        {"hpc_job_set": None},
        {"hpc_job_set": None, "total_count": 7},
        {"hpc_job_set": None, "total_count": ...},
        {"hpc_job_set": ..., "total_count": 0},
        {"hpc_job_set": ..., "total_count": "0"},
    ],
)
def test_empty_pages(fields: dict[str, Any]) -> None:
    assert decode(answer(**fields)).jobs == ()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"job_status": " Pending\n"}, "pending"),
        ({"job_status": "SUSPENDED"}, "suspended"),
        ({"job_status": "未知"}, "未知"),
        ({"job_status": "two words"}, "two words"),
        ({"job_status": "_no_status"}, "no_status"),
        ({"job_status": "_\u3000_ _Held_"}, "held_"),
    ],
)
def test_status_is_open_trimmed_and_lower_cased(fields: dict[str, Any], status: str) -> None:
    assert job(**fields).status == status


@pytest.mark.parametrize(
    ("fields", "queue"),
    [
        ({}, "默认队列"),
        ({"queue_name": " a b "}, " a b "),
        ({"queue_name": '"\\\n'}, '"\\\n'),
        ({"queue_name": 7}, "7"),
        ({"queue_name": None}, "chosen"),
        ({"queue_name": ...}, "chosen"),
        ({"queue_name": ""}, "chosen"),
        ({"queue_name": " \t"}, "chosen"),
        ({"queue_name": [1]}, "chosen"),
        ({"queue_name": None, "name": " "}, "owning"),
        ({"queue_name": None, "name": None, "hpq_name": ""}, "vis"),
        (
            {"queue_name": "", "name": "", "hpq_name": "", "scheduler_queue_name": None},
            "hpcq-df3u98dr",
        ),
        (
            dict.fromkeys(
                ("queue_name", "name", "hpq_name", "scheduler_queue_name", "hpcqueue_id"), ""
            ),
            "",
        ),
    ],
)
def test_queue(fields: dict[str, Any], queue: str) -> None:
    assert job(**fields).queue == queue


@pytest.mark.parametrize(
    ("field", "attribute"),
    [
        ("run_user", "user"), ("queue_name", "queue"), ("hpq_name", "queue"),
        ("job_status", "status"),
    ],
)  # fmt: skip
def test_a_name_too_long_for_a_label_is_cut_with_a_mark(field: str, attribute: str) -> None:
    other = {"queue_name": "", "name": ""}
    fits, long, longest = (
        record(**other | {"hpcjob_uuid": name[0], field: name})
        for name in ("默" * 200, "界" * 201, "x" * 1_000_000)
    )
    assert decode(answer(fits)).names_cut == 0
    page = decode(answer(long, fits, longest))
    names = [getattr(job, attribute) for job in page.jobs]
    assert names == ["界" * 199 + "…", "默" * 200, "x" * 199 + "…"]
    assert page.names_cut == 2


def test_a_name_that_comes_again_is_the_same_object() -> None:
    """Jobs that changed last are kept in memory, of hundreds of clusters."""
    first, second = (decode(answer(record())).jobs[0] for _ in range(2))
    for name in ("status", "queue", "user"):
        assert getattr(first, name) is getattr(second, name)


def test_names_that_fit_each_are_left_alone_together() -> None:
    page = decode(answer(record(run_user="u" * 150, queue_name="q" * 150)))
    assert (page.jobs[0].user, page.jobs[0].queue) == ("u" * 150, "q" * 150)
    assert page.names_cut == 0


def test_each_job_of_a_page_has_its_own_queue() -> None:
    records = [
        record(hpcjob_uuid="1"),
        record(hpcjob_uuid="2", queue_name="", name="n2"),
        record(hpcjob_uuid="3", queue_name="q3", name="n3"),
        record(hpcjob_uuid="4", queue_name=None, name="n4"),
    ]
    jobs = decode(answer(*records)).jobs
    assert [(job.uuid, job.queue) for job in jobs] == [
        ("1", "默认队列"),
        ("2", "n2"),
        ("3", "q3"),
        ("4", "n4"),
    ]


@pytest.mark.parametrize(
    ("run_user", "user"),
    [("admin", "admin"), (None, ""), (..., ""), ("", ""), (1000, "1000"), ({}, ""), (True, "")],
)
def test_user(run_user: Any, user: str) -> None:
    assert job(run_user=run_user).user == user


@pytest.mark.parametrize(
    ("core_limit", "cores"),
    [
        (12, 12),
        ("12", 12),
        (" 12 ", 12),
        (12.0, 12),
        ("12.0", 12),
        (0, 0),
        (None, 0),
        (..., 0),
        ("", 0),
        (-1, 0),
        ("-1", 0),
        (1.5, 0),
        ("many", 0),
        ("nan", 0),
        ("inf.", 0),
        (True, 0),
        ([4], 0),
        (2**40, 0),
        (1e300, 0),
        ("9" * 5000, 0),
    ],
)
def test_cores(core_limit: Any, cores: int) -> None:
    assert job(core_limit=core_limit).cores == cores


TIMES = [
    ("2021-08-19T14:06:21", AT),
    ("2021-08-19T14:06:21Z", AT),
    ("2021-08-19 14:06:21", AT),
    ("2021-08-19 14:06:21Z", AT),
    (" 2021-08-19T14:06:21Z ", AT),
    ("2021-08-19T14:06:21z", AT),
    ("2021-08-19T14:06:21.999", AT),
    ("2021-08-19T14:06:21.123456789Z", AT),
    ("2021-08-19T14:06:21+00:00", AT),
    ("2021-08-19T22:06:21+08:00", AT),
    ("2021-08-19T22:06:21+0800", AT),
    ("2021-08-19T22:06:21.5+08:00", AT),
    ("2021-08-19T14:06", AT - 21),
    (AT, AT),
    (float(AT) + 0.5, AT),
    (str(AT), AT),
    (f" {AT} ", AT),
    (AT * 1000 + 999, AT),
    (str(AT * 1000), AT),
    (None, None),
    (..., None),
    ("", None),
    ("  ", None),
    ("-", None),
    ("null", None),
    ("yesterday", None),
    ("2021-08-19", None),
    ("2021-08-19T", None),
    ("2021-08-19T25:06:21", None),
    ("2021-08-19T14:60:21", None),
    ("2021-08-19T14:06:60", None),
    ("2021-08-19T14:06:2x", None),
    ("2021-08-19T14:06x21", None),
    ("2021-13-19T14:06:21", None),
    ("2021-02-29T14:06:21", None),
    ("0000-00-00T00:00:00", None),
    ("0000-00-00 00:00:00", None),
    ("0001-01-01T00:00:00Z", None),
    ("1970-01-01T00:00:00Z", None),
    ("1970-01-01T00:00:01Z", None),
    ("1970-01-01T08:00:00", None),
    ("1970-01-01T08:00:00Z", None),
    ("1980-01-01T00:00:00+08:00", None),
    ("2000-01-01 00:00:00", None),
    ("2001-01-01T00:00:00Z", None),
    (20210819, None),
    ("9999-12-31T23:59:59Z", None),
    (0, None),
    ("0", None),
    (-1, None),
    (False, None),
    (True, None),
    ("nan", None),
    ("1e999", None),
    ([AT], None),
    ({"at": AT}, None),
    (10**18, None),
    pytest.param(10**400, None, id="huge"),
    pytest.param(-(10**400), None, id="huge and negative"),
]


@pytest.mark.parametrize(("text", "at"), TIMES)
@pytest.mark.parametrize("name", ["submitted_time", "started_time", "modified_time"])
def test_times(name: str, text: Any, at: int | None) -> None:
    decoded = job(**{name: text})
    assert getattr(decoded, name.replace("_time", "_at")) == at
    others = {"submitted_time": AT, "started_time": AT + 20, "modified_time": AT + 80}
    del others[name]
    for other, other_at in others.items():
        assert getattr(decoded, other.replace("_time", "_at")) == other_at


def test_a_time_far_ahead_of_the_servers_clock_is_none() -> None:
    body = answer(record(modified_time="2021-09-20T00:00:00", started_time="2036-01-01T00:00:00"))
    for now_at, modified in ((AT, False), (AT + 3 * 86400, True)):
        [read] = decode_page(body, timezone=UTC, server_time_at=now_at).jobs
        assert (read.submitted_at, read.started_at) == (AT, None)
        assert (read.modified_at is not None) == modified


@pytest.mark.parametrize(("seconds", "is_read"), [(-3600, True), (-3601, False), (-(10**8), False)])
def test_a_start_long_before_the_submission_is_none(seconds: int, is_read: bool) -> None:
    read = job(started_time=AT + seconds)
    assert read.started_at == (AT + seconds if is_read else None)
    assert job(started_time=AT + seconds, submitted_time=None).started_at == AT + seconds


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("2021-08-19T14:06:21", -8),
        ("2021-08-19 14:06:21", -8),
        ("2021-08-19T14:06:21.5", -8),
        ("2021-08-19T14:06:21Z", 0),
        ("2021-08-19T14:06:21+02:00", -2),
        (str(AT), 0),
    ],
)
@pytest.mark.parametrize("zone", [SHANGHAI, timezone(timedelta(hours=8))])
def test_the_zone_is_for_times_that_carry_none(zone: tzinfo, text: str, hours: int) -> None:
    assert job(zone, modified_time=text).modified_at == AT + hours * 3600


@given(
    st.datetimes(datetime(2001, 9, 10), datetime(2090, 1, 1)),  # noqa: DTZ001 - zones follow
    st.sampled_from(
        ["UTC", "Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]
    ),
)
def test_the_short_way_for_times_agrees_with_the_library(moment: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    moment = moment.replace(microsecond=0)
    expected = int(moment.replace(tzinfo=zone).timestamp())
    assert job(zone, modified_time=moment.isoformat()).modified_at == expected
    assert job(zone, modified_time=f"{moment.isoformat()}.0").modified_at == expected


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2021-10-31T01:59:59", 1635638399),  # before the hour that comes twice
        ("2021-10-31T02:30:00", 1635640200),  # the first of the two
        ("2021-10-31T03:00:00", 1635645600),
        ("2021-03-28T01:59:59", 1616893199),
        ("2021-03-28T03:00:00", 1616893200),  # one second later
    ],
)
def test_clock_changes(text: str, at: int) -> None:
    assert job(ZoneInfo("Europe/Berlin"), modified_time=text).modified_at == at


@pytest.mark.parametrize(
    ("name", "text", "at"),
    [
        ("Australia/Lord_Howe", "2021-10-03T01:59:59", 1633188599),  # half an hour is left out
        ("Australia/Lord_Howe", "2021-10-03T02:45:00", 1633189500),
        ("America/St_Johns", "2010-11-07T00:00:30", 1289097030),  # goes back at one past midnight
        ("America/St_Johns", "2010-11-07T00:01:00", 1289100660),
    ],
)
def test_clock_changes_within_an_hour(name: str, text: str, at: int) -> None:
    assert job(ZoneInfo(name), modified_time=text).modified_at == at


WITH_ZONE = {
    "submitted_time": "2021-08-19T14:06:21Z",
    "started_time": "2021-08-19 14:06:41.5+00:00",
    "modified_time": AT + 80,
}


@pytest.mark.parametrize(
    ("times", "zoneless"),
    [
        ({}, False),
        ({"modified_time": "2021-08-19T14:07:41Z"}, False),
        ({"modified_time": "2021-08-19T14:07:41"}, True),
        ({"submitted_time": "2021-08-19T14:06:21"}, True),
        (
            {"submitted_time": "2021-08-19 14:06:21.5", "modified_time": "2021-08-19T14:07:41Z"},
            True,
        ),
        ({"started_time": None}, False),
        ({"started_time": "0001-01-01T00:00:00"}, False),
        ({"started_time": "none"}, False),
    ],
)
@pytest.mark.parametrize("zone", [UTC, SHANGHAI])
def test_a_page_tells_whether_a_time_carries_no_zone(
    times: dict[str, Any], zoneless: bool, zone: tzinfo
) -> None:
    page = decode(answer(record(**WITH_ZONE), record(hpcjob_uuid="2", **WITH_ZONE | times)), zone)
    assert page.zoneless is zoneless
    assert not decode(answer(record(**WITH_ZONE)), zone).zoneless
    assert not decode(answer(), zone).zoneless


@pytest.mark.parametrize("forms", [("Z", ""), ("", "Z"), ("", ".5Z"), ("Z", "+00:00"), ("z", "Z")])
def test_times_that_change_their_form_within_a_page_are_each_read_right(
    forms: tuple[str, str],
) -> None:
    records = [
        record(hpcjob_uuid=str(number), modified_time=f"2021-08-19T14:06:21{forms[number % 2]}")
        for number in range(4)
    ]
    moments = [job.modified_at for job in decode(answer(*records), SHANGHAI).jobs]
    expected = [AT if form else AT - 8 * 3600 for form in forms]
    assert moments == expected * 2


def test_a_query_may_say_which_zone_is_meant() -> None:
    text = "2021-08-19T14:06:21"
    assert job(JobListQuery().zone(SHANGHAI), modified_time=text).modified_at == AT - 8 * 3600
    for seconds in (0, -3600, 8 * 3600):
        zone = JobListQuery(zone_seconds=seconds).zone(SHANGHAI)
        assert job(zone, modified_time=text).modified_at == AT - seconds


# Records that cannot be counted


@pytest.mark.parametrize("status", [..., None, "", " \t", "_", " _ _", 3, True, ["running"], {}])
def test_a_record_without_a_status_is_known_and_hidden(status: Any) -> None:
    page = decode(answer(record(hpcjob_uuid="1"), record(job_status=status)))
    assert page.jobs == (JOB._replace(uuid="1"), JOB._replace(status=NO_STATUS))
    assert page.left_out == (LeftOut(NO_STATUS, "19453"),)


@pytest.mark.parametrize("uuid", [..., None, "", " \t", "a\0b", 7, False, [], {"a": 1}])
@pytest.mark.parametrize("job_id", [19453, "19453", " 19453 ", 19453.0])
def test_a_record_without_an_identity_is_known_by_its_job_id(uuid: Any, job_id: Any) -> None:
    page = decode(answer(record(hpcjob_uuid="1"), record(hpcjob_uuid=uuid, job_id=job_id)))
    assert page.jobs[1] == JOB._replace(uuid="job_id:19453", status=NO_IDENTITY)
    assert page.left_out == (LeftOut(NO_IDENTITY, "19453"),)


def test_a_record_with_neither_is_known_by_its_job_id() -> None:
    [only] = decode(answer(record(hpcjob_uuid=None, job_status=None))).jobs
    assert (only.uuid, only.status) == ("job_id:19453", NO_IDENTITY)


NAMELESS = {
    "neither": record(hpcjob_uuid=..., job_id=...),
    "blank": record(hpcjob_uuid=" ", job_id=" "),
    "job_id is a list": record(hpcjob_uuid=None, job_id=[SECRET_CONTENT]),
    "job_id is long": record(hpcjob_uuid=None, job_id=f"{SECRET_CONTENT} " * 9),
    "job_id has two lines": record(hpcjob_uuid=None, job_id=f"a\n{SECRET_CONTENT}"),
    "nothing": {},
    "null": None,
    "text": SECRET_CONTENT,
    "number": 10**400,
    "true": True,
    "list": [[SECRET_CONTENT]],
    "not a number": float("nan"),
}


@pytest.mark.parametrize("nameless", NAMELESS.values(), ids=NAMELESS)
def test_a_record_that_names_itself_nowhere_is_one_job_of_the_total(nameless: Any) -> None:
    page = decode(answer(record(), nameless))
    job, known = page.jobs
    assert job == JOB
    assert known.status == NO_IDENTITY
    assert SECRET_CONTENT not in known.uuid
    assert page.left_out == (LeftOut(NO_IDENTITY, ""),)
    assert decode(answer(nameless, record(hpcjob_uuid="2"))).jobs[0] == known


def test_records_that_name_themselves_nowhere_are_told_apart_by_what_is_written_of_them() -> None:
    different = [each for name, each in NAMELESS.items() if name != "not a number"]  # read as null
    uuids = {job.uuid for job in decode(answer(*different)).jobs}
    assert len(uuids) == len(different)


def test_a_record_without_a_status_needs_no_job_id() -> None:
    page = decode(answer(record(job_status=None, job_id=None, queue_name=None)))
    assert page.jobs == (JOB._replace(status=NO_STATUS, queue="chosen"),)
    assert page.left_out == (LeftOut(NO_STATUS, ""),)


# JSON that a strict reader refuses


ODD_TEXTS = {
    "lone surrogate": (b"\\udce4", "\\udce4"),
    "half a pair": (b"\\ud83d", "\\ud83d"),
    "raw tab": (b"\t", "\t"),
    "raw newline": (b"\r\n", "\r\n"),
    "raw NUL": (b"\0", "\0"),
    "raw backslash": (b"\\x41\\\\", "\\x41\\"),
    "no escape": (b"\\u12 \\n\\d", "\\u12 \n\\d"),
    "latin-1": (b"\xe4", "\\udce4"),
    "gb18030": ("默认".encode("gb18030"), "Ĭ\\udcc8\\udccf"),
    "surrogate in utf-8": (b"\xed\xa0\x80", "\\udced\\udca0\\udc80"),
}


@pytest.mark.parametrize("written", [odd for odd, _ in ODD_TEXTS.values()], ids=ODD_TEXTS)
@pytest.mark.parametrize("name", ["job_name", "cmd_line", "exec_cwd", "job_node_list", "unknown"])
def test_an_odd_text_that_nobody_reads_does_no_harm(name: str, written: bytes) -> None:
    right = decode(answer(record(hpcjob_uuid="1"), record()))
    whole = answer(record(hpcjob_uuid="1"), record(**{name: "<odd>"}))
    assert decode(whole.replace(b"<odd>", b"a" + written + b"z")) == right
    assert decode(whole.replace(b'"<odd>"', b'{"' + written + b'": ["' + written + b'"]}')) == right


@pytest.mark.parametrize(("written", "read"), ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_odd_names_stay_names_that_can_be_shown_and_told_apart(written: bytes, read: str) -> None:
    fields = {"run_user": "a<odd>", "queue_name": "<odd>z", "hpcjob_uuid": "1<odd>"}
    body = answer(record(), record(**fields), record(**fields)).replace(b"<odd>", written, 3)
    odd, plain = decode(body.replace(b"<odd>", b"")).jobs[1:]
    assert (odd.user, odd.queue) == (f"a{read}", f"{read}z")
    assert odd.uuid == (f"1{read}" if "\0" not in read else "job_id:19453")
    assert (plain.user, plain.queue, plain.uuid) == ("a", "z", "1")
    assert odd.user.encode().decode() == odd.user


ODD_NUMBERS = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-1e999",
    b"9" * 5000,
    b"-" + b"9" * 30,
]


@pytest.mark.parametrize("written", ODD_NUMBERS)
@pytest.mark.parametrize("name", ["mem_limit", "job_priority", "unknown", "job_node_list"])
def test_an_odd_number_that_nobody_reads_does_no_harm(name: str, written: bytes) -> None:
    body = answer(record(hpcjob_uuid="1"), record(**{name: "<odd>"}))
    assert decode(body.replace(b'"<odd>"', written)).jobs == (JOB._replace(uuid="1"), JOB)


@pytest.mark.parametrize("written", ODD_NUMBERS)
def test_an_odd_number_that_is_read_is_as_good_as_none(written: bytes) -> None:
    fields = ("core_limit", "run_user", "started_time", "job_id")
    body = answer(record(**dict.fromkeys(fields, "<odd>"))).replace(b'"<odd>"', written)
    assert decode(body).jobs == (JOB._replace(cores=0, user="", started_at=None),)
    for name, lacking in (("job_status", NO_STATUS), ("hpcjob_uuid", NO_IDENTITY)):
        [only] = decode(answer(record(**{name: "<odd>"})).replace(b'"<odd>"', written)).jobs
        assert only.status == lacking


@pytest.mark.parametrize(
    "written", [b"NaN", b"1e999", b"9" * 5000, b"-1", b'"-1"', b"1.5", b'"many"', b"[]", b"true"]
)
def test_a_total_that_is_no_number_is_as_good_as_none(written: bytes) -> None:
    page = decode(answer(record(), total_count="<odd>").replace(b'"<odd>"', written))
    assert (page.jobs, page.total_count) == ((JOB,), None)


@pytest.mark.parametrize("zone", [UTC, SHANGHAI])
def test_a_lenient_reading_reads_the_same(zone: tzinfo) -> None:
    records = [
        record(hpcjob_uuid="1", queue_name=None, core_limit="8"),
        record(hpcjob_uuid="2", job_status=None, submitted_time=AT * 1000, job_id=2**62),
        record(hpcjob_uuid=None, run_user="李娜", modified_time="2021-08-19 14:06:21.5Z"),
    ]
    body = answer(*records, record(hpcjob_uuid="4", mem_limit=17))
    assert decode(body.replace(b": 17", b": NaN"), zone) == decode(body, zone)


def test_a_byte_order_mark_does_no_harm() -> None:
    assert decode(b"\xef\xbb\xbf" + answer(record())).jobs == (JOB,)


def test_a_refusal_is_read_leniently_too() -> None:
    with pytest.raises(RefusedError) as caught:
        decode(b'{"ret_code": 1400, "message": "no\tway \\udce4", "took": NaN}')
    assert str(caught.value).endswith(r"(access denied): no way \udce4")


# Problem documents


def problem(status: Any = 400, **fields: Any) -> bytes:
    document = {
        "type": "about:blank",
        "title": "Bad Request",
        "detail": "Missing query parameter 'zone'",
        "status": status,
    } | fields
    return json.dumps(
        {name: value for name, value in document.items() if value is not ...}
    ).encode()


@pytest.mark.parametrize("status", [400, "400", 404, 405, 415, 422])
def test_a_problem_document_is_a_refusal_of_the_request(status: Any) -> None:
    with pytest.raises(RefusedError) as caught:
        decode(problem(status))
    assert (caught.value.ret_code, caught.value.reason) == (1100, "request")
    assert not caught.value.retryable
    assert str(caught.value) == (
        f"the API refused the call with HTTP status {status} (malformed request): "
        "Bad Request: Missing query parameter 'zone'"
    )


@pytest.mark.parametrize("status", [200, 401, 403, 407, 429, 503, None, ..., "bad", [400]])
def test_other_problem_documents_are_no_answer(status: Any) -> None:
    with pytest.raises(PayloadError, match="the answer has no ret_code"):
        decode(problem(status))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": ...}, ": Missing query parameter 'zone'"),
        ({"title": None, "detail": " "}, None),
        ({"detail": ["sort_key"]}, ": Bad Request"),
        ({"detail": ""}, ": Bad Request"),
        ({"title": ..., "detail": "two\nlines\x1b[31m hush"}, ": two lines [31m ***"),
        ({"title": "x" * 150, "detail": "y" * 150}, f": {'x' * 150}: {'y' * 47}…"),
    ],
)
def test_the_words_of_a_problem_document(fields: dict[str, Any], words: str | None) -> None:
    found = find_refusal(
        problem(**fields), http_status=400, scrub=lambda text: text.replace("hush", "***")
    )
    assert (
        str(found)
        == f"the API refused the call with HTTP status 400 (malformed request){words or ''}"
    )


@pytest.mark.parametrize(
    "body",
    [
        problem(title=..., detail=...),
        problem(title=None, detail=17),
        problem(ret_code=0),
        b'{"message": "no route"}',
        b"[]",
    ],
)
def test_what_is_no_problem_document(body: bytes) -> None:
    assert find_refusal(body, http_status=400) is None


def test_the_status_of_http_goes_before_the_documents_own() -> None:
    found = find_refusal(problem(500), http_status=404)
    assert "HTTP status 404" in str(found)
    assert find_refusal(problem(400), http_status=503) is None


def test_a_problem_document_may_say_that_the_server_has_failed_at_the_request() -> None:
    with pytest.raises(RefusedError, match="HTTP status 500") as caught:
        decode(problem(500))
    assert (caught.value.ret_code, caught.value.reason) == (5000, "internal")


def test_only_what_cannot_be_counted_is_hidden() -> None:
    assert hidden(NO_STATUS)
    assert hidden(NO_IDENTITY)
    assert hidden("")
    assert not hidden("running")
    page = decode(answer(record(job_status="_no_status"), record(hpcjob_uuid="2", queue_name="")))
    assert not any(hidden(job.status) for job in page.jobs)
    assert page.left_out == ()


BAD_ANSWERS = {
    "empty": b"",
    "blank": b" \n",
    "html": b"<html><body>502 do-not-show-this</body></html>",
    "cut off": answer(record())[:-20],
    "trailing": answer(record()) + b"x",
    "two": answer() + answer(),
    "a list": b"[]",
    "null": b"null",
    "a string": b'"do-not-show-this"',
    "a number": b"17",
    "NaN": b"NaN",
    "cut off and lenient": answer(record()).replace(b": 4,", b": NaN,")[:-20],
    "cut off within a text": answer(record()).partition(b"show")[0],
    "trailing and lenient": answer(record()).replace(b": 4,", b": NaN,") + b"x",
    "single quotes": answer(record()).replace(b'"', b"'"),
    "no verdict": answer(record(), ret_code=...),
    "null verdict": answer(record(), ret_code=None),
    "blank verdict": answer(record(), ret_code=""),
    "true verdict": answer(record(), ret_code=False),
    "no list": answer(hpc_job_set=..., total_count=1),
    "no list and no count": answer(hpc_job_set=..., total_count=...),
    "list is an object": answer(hpc_job_set={"do-not-show-this": 1}),
    "list is a string": answer(hpc_job_set="do-not-show-this"),
    "same job_id twice": answer(record(hpcjob_uuid=""), record(hpcjob_uuid=None)),
    "same twice": answer(record(), record()),
    "nothing to tell them apart": answer(None, None),
    "same uuid, other status": answer(record(), record(job_status="finished")),
    "deep": b"[" * 200_000,
    "deep and skipped": b'{"x":' + b"[" * 200_000,
    "deep count": b'{"total_count":' + b"[" * 200_000,
    "deep queue": answer(record(queue_name="")).replace(b'"chosen"', b"[" * 200_000),
}


@pytest.mark.parametrize("body", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_bad_answers(body: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        decode(body)
    assert caught.value.reason == "payload"
    assert caught.value.advice
    assert SECRET_CONTENT not in f"{caught.value} {caught.value.advice}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "the answer is empty"),
        ("html", "the answer is HTML or XML, not JSON"),
        ("cut off", f"the answer of {len(BAD_ANSWERS['cut off'])} bytes is not valid JSON"),
        ("no verdict", "the answer has no ret_code"),
        ("no list", "the answer has no hpc_job_set"),
        ("same twice", "the same hpcjob_uuid comes twice in one page"),
        (
            "list is a string",
            (
                "the answer is not of the shape of a list: "
                "Expected `array | null`, got `str` - at `$.hpc_job_set`"
            ),
        ),
    ],
)
def test_messages_of_bad_answers(name: str, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode(BAD_ANSWERS[name])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "retryable"), [("cut off", True), ("html", True), ("empty", True), ("no list", False)]
)
def test_only_what_may_be_an_accident_of_the_way_is_tried_again(name: str, retryable: bool) -> None:
    with pytest.raises(PayloadError) as caught:
        decode(BAD_ANSWERS[name])
    assert caught.value.retryable is retryable


@pytest.mark.parametrize("ret_code", [5000, "5000", " 5000 ", 5000.0])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"hpc_job_set": ..., "total_count": ...},
        {"hpc_job_set": "nonsense"},
        {"hpc_job_set": [{}]},
        {"total_count": -1},
    ],
)
def test_a_refusal_is_told_whatever_else_is_there(ret_code: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        decode(answer(ret_code=ret_code, message="list hpc job failed", **fields))
    assert (caught.value.ret_code, caught.value.reason, caught.value.retryable) == (
        5000,
        "internal",
        True,
    )
    assert str(caught.value) == (
        "the API refused the call with code 5000 (internal error of the server): "
        "list hpc job failed"
    )


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (..., ""),
        (None, ""),
        (" ", ""),
        (17, ""),
        ("two\nlines\x1b[31m", ": two lines [31m"),
        ("x" * 1000, ": " + "x" * 199 + "…"),
        ("key=hush", ": key=***"),
    ],
)
def test_the_servers_words_are_shown_short_clean_and_without_secrets(
    message: Any, words: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        decode_page(
            answer(ret_code=1400, message=message),
            timezone=UTC,
            scrub=lambda text: text.replace("hush", "***"),
        )
    assert str(caught.value) == f"the API refused the call with code 1400 (access denied){words}"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"ret_code":0}', b"[" * 200_000])
def test_no_refusal_in_what_is_none(body: bytes) -> None:
    assert find_refusal(body) is None


def test_a_refusal_is_found() -> None:
    found = find_refusal(b'{"ret_code":2500,"message":"slow down"}')
    assert found is not None
    assert found.ret_code == 2500


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([10**400, 1e308, "0", "12", "2021-08-19T14:06:21", "\ud800", "running"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
RECORDS = st.fixed_dictionaries({}, optional=dict.fromkeys(DEFAULTS, JSON_VALUES))
LIKELY_RECORDS = st.builds(lambda fields: DEFAULTS | fields, RECORDS)


def decodes_or_says_why(body: bytes) -> Page | None:
    try:
        page = decode_page(body, timezone=SHANGHAI)
    except ApiError:
        return None
    for decoded in page.jobs:
        assert decoded.uuid.strip()
        assert decoded.status == decoded.status.strip().lower() != ""
        assert type(decoded.cores) is int
        assert 0 <= decoded.cores < 2**31
        for at in (decoded.submitted_at, decoded.started_at, decoded.modified_at):
            assert at is None or (type(at) is int and 0 <= at < 2**33)
        (decoded.uuid + decoded.status + decoded.queue + decoded.user).encode()
    assert page.total_count is None or page.total_count >= 0
    return page


@given(st.binary())
def test_any_bytes(body: bytes) -> None:
    decodes_or_says_why(body)


@given(JSON_VALUES)
def test_any_json(value: Any) -> None:
    decodes_or_says_why(json.dumps(value).encode())


@given(
    st.fixed_dictionaries(
        {"ret_code": st.just(0) | JSON_VALUES},
        optional={
            "total_count": JSON_VALUES,
            "message": JSON_VALUES,
            "hpc_job_set": st.lists(RECORDS | LIKELY_RECORDS, max_size=4) | JSON_VALUES,
        },
    ),
    st.booleans(),
)
def test_any_answer(whole: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(whole, ensure_ascii=ascii_only)
    decodes_or_says_why(text.encode("utf-8", "surrogatepass"))


@given(st.data())
def test_damaged_answers(data: st.DataObject) -> None:
    body = bytearray(answer(record(), record(hpcjob_uuid="2", queue_name=None)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, min(len(body), start + 40)))
        body[start:end] = data.draw(st.binary(max_size=8))
    decodes_or_says_why(bytes(body))


@given(st.lists(st.text(), max_size=8), st.text())
def test_nothing_is_dropped(uuids: list[str], status: str) -> None:
    records = [record(hpcjob_uuid=uuid, job_status=status) for uuid in uuids]
    page = decodes_or_says_why(json.dumps({"ret_code": 0, "hpc_job_set": records}).encode())
    if page is None:
        improper = sum(not uuid.strip() or "\0" in uuid for uuid in uuids)
        assert improper > 1 or len(set(uuids)) < len(uuids)
    else:
        proper = [uuid if uuid.strip() and "\0" not in uuid else "job_id:19453" for uuid in uuids]
        assert [job.uuid for job in page.jobs] == proper
        if not status.strip():
            assert all(hidden(job.status) for job in page.jobs)
