"""What the simulated cloud makes of a request: signature, time, ownership, parameters, quota."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from exporter.simulator import Account, Cloud, parse_dialect
from exporter.simulator.answers import Answer
from exporter.simulator.quota import Quota
from exporter.simulator.signing import signature
from tests.simulator.cloud_client import ACCOUNT, raw_query, signed_params

NOW_AT = 1_629_391_480.0
KNOWN = {
    "access_key_id": "QYACCESSKEYIDEXAMPLE",
    "timestamp": "2021-08-19T16:44:40Z",
    "version": "1",
    "signature_version": "1",
    "signature_method": "HmacSHA256",
    "zone": "jinan1a",
}


@pytest.fixture
def cloud() -> Cloud:
    cloud = Cloud((ACCOUNT, Account("OTHERKEY", "other secret")))
    jobs = cloud.add_cluster("ehpc-qmmvigwe").jobs
    for number in range(250):
        queue, user = ("默认 队列", "usr-1") if number % 5 == 0 else ("vis", "admin")
        uuid = jobs.submit(NOW_AT - 1000 + number, queue=queue, user=user, cores=2)
        if number % 2:
            jobs.start(uuid, NOW_AT - 500 + number)
    cloud.add_cluster("hpc-other000", access_key_id="OTHERKEY")
    return cloud


def ask(cloud: Cloud, params: dict[str, str], *, at: float = NOW_AT, **signing: str) -> Any:
    return decoded(
        cloud.handle(
            "GET", "/api/job/list", raw_query(signed_params(at, params), **signing), NOW_AT
        )
    )


def decoded(answer: Answer) -> Any:
    assert answer.status == 200
    return json.loads(answer.body)


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/api/cluster/list", {}, "fuaaMdgEpq315d6SJPwhiaw3XantkrjQW4gQOg2FNkI="),
        (
            "/api/job/list",
            {"cluster_id": "ehpc-qmmvigwe"},
            "Qbw6jDkAysC00pCXIljQnh7Hpj9/23AK+oFxsp4KJIQ=",
        ),
        (
            "/api/job/list",
            {
                "cluster_id": "ehpc-qmmvigwe",
                "jobs_status": "pending",
                "limit": "100",
                "offset": "200",
                "queue_name": "默认 队列",
            },
            "KX3BX/9ap1SIW1UKAXrvxW5oaigx2bZoQ+kCTQYYMXw=",
        ),
    ],
)
def test_known_signatures(cloud: Cloud, path: str, params: dict[str, str], expected: str) -> None:
    assert signature("GET", path, {**KNOWN, **params}, "SECRETACCESSKEY") == expected
    twice = quote(quote(expected, safe=""), safe="")
    sent = "&".join(f"{name}={quote(value)}" for name, value in {**KNOWN, **params}.items())
    answer = decoded(cloud.handle("GET", path, f"{sent}&signature={twice}", NOW_AT))
    assert answer["ret_code"] == 0


def test_a_page_and_its_parameters(cloud: Cloud) -> None:
    mine = {"cluster_id": "ehpc-qmmvigwe"}
    answer = ask(cloud, mine)
    assert answer["action"] == "HpcJobListJobsResponse"
    assert (answer["total_count"], len(answer["hpc_job_set"])) == (250, 10)
    assert len(ask(cloud, {**mine, "limit": "5000"})["hpc_job_set"]) == 100
    assert len(ask(cloud, {**mine, "limit": "100", "offset": "200"})["hpc_job_set"]) == 50
    assert ask(cloud, {**mine, "offset": "250"})["hpc_job_set"] == []
    narrow = {**mine, "queue_name": "默认 队列", "run_user": "usr-1", "jobs_status": "running"}
    answer = ask(cloud, narrow)
    assert answer["total_count"] == 25
    assert {job["job_status"] for job in answer["hpc_job_set"]} == {"running"}
    assert ask(cloud, {**mine, "search_word": "认"})["total_count"] == 50
    for bad in ({"limit": "many"}, {"offset": "-1"}, {"limit": "1.5"}, {"offset": "9" * 20}):
        assert ask(cloud, {**mine, **bad})["ret_code"] == 1100


def test_a_record_has_what_is_documented(cloud: Cloud) -> None:
    record = ask(cloud, {"cluster_id": "ehpc-qmmvigwe"})["hpc_job_set"][0]
    assert set(record) == {
        *("hpcjob_uuid", "job_id", "job_name", "job_status", "run_user", "queue_name", "name"),
        *("hpq_name", "scheduler_queue_name", "hpcqueue_id", "categories", "core_limit"),
        *("mem_limit", "job_priority", "job_node_list", "submitted_time", "started_time"),
        *("modified_time", "cmd_line", "exec_cwd", "stdout_redirect_path"),
        "stderr_redirect_path",
    }
    assert record["submitted_time"] == "2021-08-19T16:32:09"
    assert record["started_time"] == record["modified_time"] == "2021-08-19T16:40:29"


@pytest.mark.parametrize(
    ("params", "signing", "late_seconds", "code"),
    [
        ({"cluster_id": "ehpc-qmmvigwe"}, {"secret": "WRONG"}, 0, 1200),
        ({"cluster_id": "ehpc-qmmvigwe"}, {"path": "/api/cluster/list"}, 0, 1200),
        ({"cluster_id": "ehpc-qmmvigwe", "access_key_id": "NOBODY"}, {}, 0, 1200),
        ({"cluster_id": "ehpc-qmmvigwe"}, {}, 59, 0),
        ({"cluster_id": "ehpc-qmmvigwe"}, {}, -59, 0),
        ({"cluster_id": "ehpc-qmmvigwe"}, {}, 61, 1300),
        ({"cluster_id": "ehpc-qmmvigwe"}, {}, -61, 1300),
        ({"cluster_id": "ehpc-qmmvigwe", "timestamp": "yesterday"}, {}, 0, 1100),
        ({"cluster_id": "ehpc-qmmvigwe", "signature_method": "HmacSHA1"}, {}, 0, 1100),
        ({"cluster_id": "ehpc-qmmvigwe", "zone": ""}, {}, 0, 1100),
        ({}, {}, 0, 1100),
        ({"cluster_id": "ehpc-qmmvigwe", "zone": "pek3"}, {}, 0, 2100),
        ({"cluster_id": "ehpc-absent00"}, {}, 0, 2100),
        ({"cluster_id": "hpc-other000"}, {}, 0, 1400),
        ({"cluster_id": "ehpc-qmmvigwe", "sort_key": "colour"}, {}, 0, 1101),
    ],
)
def test_refusals(
    cloud: Cloud, params: dict[str, str], signing: dict[str, str], late_seconds: float, code: int
) -> None:
    answer = ask(cloud, params, at=NOW_AT - late_seconds, **signing)
    assert answer["ret_code"] == code
    assert ("hpc_job_set" in answer) == (code == 0)
    assert cloud.journal[-1].outcome == (str(code) if code else "ok")


def test_the_signature_must_stand_last_and_be_encoded_twice(cloud: Cloud) -> None:
    def code(query: str) -> int:
        answer: int = decoded(cloud.handle("GET", "/api/job/list", query, NOW_AT))["ret_code"]
        return answer

    good = raw_query(signed_params(NOW_AT, {"cluster_id": "ehpc-qmmvigwe"}))
    sent, _, twice = good.rpartition("&signature=")
    assert code(good) == 0
    assert code(f"{sent}&signature={twice.replace('%25', '%')}") == 1200
    assert code(f"signature={twice}&{sent}") == 1200
    assert code(f"{sent}&limit=7&signature={twice}") == 1200
    assert code(f"{sent}&zone=jinan1a&signature={twice}") == 1200
    assert code(sent) == 1200
    assert code("") == 1200


@pytest.mark.parametrize(
    ("dialect", "accepted"),
    [
        ("documented", {"encoded", "plain"}),
        ("slash-encoded", {"encoded"}),
        ("slash-plain", {"plain"}),
    ],
)
def test_a_slash_is_signed_in_one_of_two_ways(
    cloud: Cloud, dialect: str, accepted: set[str]
) -> None:
    cloud.clusters["ehpc-qmmvigwe"].speak(parse_dialect(dialect))
    params = {"cluster_id": "ehpc-qmmvigwe", "queue_name": "cpu/gpu"}
    codes = {slash: ask(cloud, params, slash=slash)["ret_code"] for slash in ("encoded", "plain")}
    assert codes == {slash: 0 if slash in accepted else 1200 for slash in codes}


def test_a_problem_document_travels_with_http_400(cloud: Cloud) -> None:
    cloud.clusters["ehpc-qmmvigwe"].speak(parse_dialect("job-status-strict"))
    params = signed_params(NOW_AT, {"cluster_id": "ehpc-qmmvigwe", "jobs_status": "pending"})
    answer = cloud.handle("GET", "/api/job/list", raw_query(params), NOW_AT)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(json.loads(answer.body)) == {"type", "title", "detail", "status"}
    assert cloud.journal[-1].outcome == "http-400"


def test_a_cached_page_is_the_same_to_a_request_that_is_signed_anew(cloud: Cloud) -> None:
    cluster = cloud.clusters["ehpc-qmmvigwe"]
    cluster.speak(parse_dialect("cache=20"))
    mine = {"cluster_id": "ehpc-qmmvigwe"}
    assert ask(cloud, mine)["total_count"] == 250
    cluster.jobs.submit(NOW_AT, queue="vis", user="admin")
    assert ask(cloud, mine, at=NOW_AT - 30)["total_count"] == 250
    assert ask(cloud, {**mine, "limit": "11"})["total_count"] == 251


def test_what_is_no_action(cloud: Cloud) -> None:
    params = signed_params(NOW_AT)
    answer = cloud.handle("GET", "/api/job/kill", raw_query(params, path="/api/job/kill"), NOW_AT)
    assert decoded(answer)["ret_code"] == 1101
    assert cloud.handle("GET", "/", "", NOW_AT).status == 404
    assert cloud.handle("POST", "/api/job/list", raw_query(params), NOW_AT).status == 405


def test_the_clusters_of_an_account(cloud: Cloud) -> None:
    path = "/api/cluster/list"
    answer = decoded(cloud.handle("GET", path, raw_query(signed_params(NOW_AT), path=path), NOW_AT))
    (cluster,) = answer["cluster_set"]
    assert cluster["cluster_id"] == "ehpc-qmmvigwe"
    assert cluster["cluster_status"] == "active"
    counted = ("pending", "running", "finished", "stopped")
    assert [cluster[f"{status}_job_count"] for status in counted] == [125, 125, 0, 0]


def test_the_journal_has_every_call_without_its_signature(cloud: Cloud) -> None:
    ask(cloud, {"cluster_id": "ehpc-qmmvigwe", "limit": "3"})
    cloud.list_jobs("ehpc-qmmvigwe", {"limit": "4"}, NOW_AT + 1)
    cloud.handle("GET", "/", "", NOW_AT)
    assert cloud.calls == len(cloud.journal) == 3
    signed, direct, stray = cloud.journal
    assert signed.params["limit"] == "3"
    assert "signature" not in signed.params
    assert (signed.at, signed.access_key_id) == (NOW_AT, ACCOUNT.access_key_id)
    assert (direct.at, direct.params, direct.cluster_id) == (
        NOW_AT + 1,
        {"limit": "4"},
        "ehpc-qmmvigwe",
    )
    assert stray.outcome == "http-404"
    assert "SECRETACCESSKEY" not in repr(cloud.accounts)


def test_in_process_answers_are_those_of_the_wire(cloud: Cloud) -> None:
    params = {"sort_key": "modified_time", "reverse": "1", "limit": "30", "jobs_status": "pending"}
    over_wire = ask(cloud, {**params, "cluster_id": "ehpc-qmmvigwe"})
    assert cloud.list_jobs("ehpc-qmmvigwe", params, NOW_AT) == over_wire
    assert cloud.list_jobs("ehpc-absent00", params, NOW_AT)["ret_code"] == 2100


def code_at(cloud: Cloud, at: float) -> int:
    query = raw_query(signed_params(at, {"cluster_id": "ehpc-1"}))
    code: int = decoded(cloud.handle("GET", "/api/job/list", query, at))["ret_code"]
    return code


def test_the_quota_is_a_sliding_window() -> None:
    cloud = Cloud(quota=Quota(3, 100))
    cloud.add_cluster("ehpc-1")
    answers = {at: code_at(cloud, NOW_AT + at) for at in (0, 10, 20, 30, 99, 100, 105, 110, 111)}
    assert answers == {
        0: 0,
        10: 0,
        20: 0,
        30: 2500,
        99: 2500,
        100: 0,
        105: 2500,
        110: 0,
        111: 2500,
    }
    assert cloud.quota_used(ACCOUNT.access_key_id, NOW_AT + 111) == 3
    unsigned = raw_query(signed_params(NOW_AT), secret="WRONG")
    cloud.handle("GET", "/api/job/list", unsigned, NOW_AT + 300)
    assert cloud.quota_used(ACCOUNT.access_key_id, NOW_AT + 300) == 0


def test_a_lock_out_can_last_until_midnight() -> None:
    cloud = Cloud(quota=Quota(1, 10, until_midnight=True))
    cloud.add_cluster("ehpc-1")
    midnight = (NOW_AT // 86400 + 1) * 86400
    answers = [code_at(cloud, at) for at in (NOW_AT, NOW_AT + 5, NOW_AT + 500, midnight - 1)]
    assert answers == [0, 2500, 2500, 2500]
    assert code_at(cloud, midnight) == 0
