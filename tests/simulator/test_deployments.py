"""The servers that a first deployment may turn out to be, on what a caller sees."""

from dataclasses import replace
from typing import Any

import pytest

from exporter.simulator import DEPLOYMENTS, DOCUMENTED, JobRow, Order
from tests.simulator.one_list import AT, a_cloud, ask


def statuses(answer: dict[str, Any]) -> set[str]:
    return {record["job_status"] for record in answer["hpc_job_set"]}


def ids(answer: dict[str, Any]) -> list[int]:
    return [record["job_id"] for record in answer["hpc_job_set"]]


def is_problem(answer: dict[str, Any]) -> bool:
    return set(answer) == {"type", "title", "detail", "status"} and answer["status"] == 400


class TestTheNameOfTheStatusFilter:
    @pytest.mark.parametrize(
        ("known", "other"), [("jobs_status", "job_status"), ("job_status", "jobs_status")]
    )
    def test_the_other_one_is_ignored_in_silence(self, known: Any, other: str) -> None:
        cloud = a_cloud(replace(DOCUMENTED, status_filter=known))
        assert ask(cloud, **{known: "running"})["total_count"] == 100
        assert statuses(ask(cloud, **{known: "running"})) == {"running"}
        assert ask(cloud, **{other: "running"}) == ask(cloud)
        assert ask(cloud, **{known: "pending", other: "running"})["total_count"] == 200

    @pytest.mark.parametrize("known", ["jobs_status", "job_status"])
    def test_or_refused_also_beside_the_known_one(self, known: Any) -> None:
        both = {"jobs_status": "running", "job_status": "running"}
        by_problem = a_cloud(replace(DOCUMENTED, status_filter=known, unknown_param="problem"))
        by_code = a_cloud(replace(DOCUMENTED, status_filter=known, unknown_param="1100"))
        assert is_problem(ask(by_problem, **both))
        assert by_problem.journal[-1].outcome == "http-400"
        assert ask(by_code, **both)["ret_code"] == 1100
        assert ask(by_code, **{known: "running"})["total_count"] == 100

    def test_either_may_do(self) -> None:
        cloud = a_cloud(replace(DOCUMENTED, status_filter="either", unknown_param="1100"))
        for name in ("jobs_status", "job_status"):
            assert ask(cloud, **{name: "running"})["total_count"] == 100
        assert ask(cloud, jobs_status="running", job_status="running")["total_count"] == 100
        assert ask(cloud, colour="red")["ret_code"] == 1100

    def test_a_strict_server_knows_what_the_clients_of_the_vendor_send(self) -> None:
        strict = a_cloud(replace(DOCUMENTED, unknown_param="problem"))
        answer = ask(strict, cluster_id="c", owner="usr-1", verbose="1", search_word="", offset="3")
        assert answer["ret_code"] == 0


class TestSortKeys:
    def test_only_the_submit_time(self) -> None:
        cloud = a_cloud(DEPLOYMENTS["console"])
        rising = ids(ask(cloud, sort_key="submitted_time", reverse="0"))
        assert rising == sorted(rising)
        newest_first = ids(ask(cloud))
        assert newest_first == sorted(newest_first, reverse=True)
        assert ids(ask(cloud, sort_key="modified_time", reverse="1")) == newest_first
        assert ids(ask(cloud, sort_key="modified_time", reverse="0")) == newest_first

    def test_an_order_by_identity_where_the_key_is_ignored(self) -> None:
        by_identity = replace(DEPLOYMENTS["console"], default_order=Order.UUID)
        answer = ask(a_cloud(by_identity), sort_key="modified_time")
        uuids = [record["hpcjob_uuid"] for record in answer["hpc_job_set"]]
        assert uuids == sorted(uuids, reverse=True)
        assert ids(answer) != sorted(ids(answer), reverse=True)

    @pytest.mark.parametrize("code", ["1100", "1101", "5000"])
    def test_an_unknown_key_refused_by_a_code(self, code: Any) -> None:
        dialect = replace(DEPLOYMENTS["console"], unknown_sort_key=code)
        assert ask(a_cloud(dialect), sort_key="modified_time")["ret_code"] == int(code)
        assert ask(a_cloud(dialect), sort_key="submitted_time")["ret_code"] == 0

    def test_an_unknown_key_refused_by_a_problem_document(self) -> None:
        cloud = a_cloud(DEPLOYMENTS["job-status-strict"])
        assert is_problem(ask(cloud, sort_key="colour"))
        assert ask(cloud, sort_key="modified_time")["ret_code"] == 0


class TestTimes:
    def test_mixed_in_one_list_each_right_for_what_it_says(self) -> None:
        answer = ask(a_cloud(DEPLOYMENTS["times-mixed"]))
        texts = {record["job_id"]: record["submitted_time"] for record in answer["hpc_job_set"]}
        plain = [text for text in texts.values() if not text.endswith("Z")]
        assert 0 < len(plain) < len(texts)
        # The newest job was submitted at 22:18:19 UTC, which is 06:18:19 of the next day in China.
        assert texts[10300] == "2023-11-14T22:18:19Z"
        assert texts[10299] == "2023-11-15T06:18:18"


class TestFilterAfterTheCut:
    def test_a_page_is_short_though_there_is_more(self) -> None:
        cloud = a_cloud(DEPLOYMENTS["filter-after-cut"])
        pages = [ask(cloud, jobs_status="running", offset=str(at)) for at in (0, 100, 200, 300)]
        sizes = [len(page["hpc_job_set"]) for page in pages]
        assert sum(sizes) == 100
        assert max(sizes) < 100
        assert sizes[3] == 0
        assert {page["total_count"] for page in pages} == {100}
        assert set().union(*map(statuses, pages)) == {"running"}

    def test_the_total_may_be_the_whole_lists(self) -> None:
        cloud = a_cloud(DEPLOYMENTS["filter-after-cut-total-whole"])
        assert ask(cloud, jobs_status="running")["total_count"] == 300


class TestDepth:
    def test_beyond_the_window_pages_are_empty_and_totals_right(self) -> None:
        cloud = a_cloud(replace(DOCUMENTED, depth_limit=250))
        for reverse in ("0", "1"):
            order = {"sort_key": "submitted_time", "reverse": reverse}
            sizes = {
                at: len(ask(cloud, offset=str(at), **order)["hpc_job_set"])
                for at in (0, 100, 200, 249, 250, 299)
            }
            assert sizes == {0: 100, 100: 100, 200: 50, 249: 1, 250: 0, 299: 0}
            assert ask(cloud, offset="250", **order)["total_count"] == 300
        # From the other end the window lies over the other jobs.
        assert 10001 in ids(ask(cloud, sort_key="submitted_time", reverse="0"))

    @pytest.mark.parametrize("how", ["1100", "5000", "problem"])
    def test_or_the_request_is_refused(self, how: Any) -> None:
        cloud = a_cloud(replace(DOCUMENTED, depth_limit=250, beyond_depth=how))
        assert ask(cloud, offset="150")["ret_code"] == 0
        answer = ask(cloud, offset="151")
        assert is_problem(answer) if how == "problem" else answer["ret_code"] == int(how)

    def test_the_total_may_count_no_further(self) -> None:
        cloud = a_cloud(replace(DOCUMENTED, total_limit=250))
        assert ask(cloud)["total_count"] == 250
        assert ask(cloud, jobs_status="running")["total_count"] == 100


def test_filtered_pages_may_be_shorter() -> None:
    cloud = a_cloud(DEPLOYMENTS["filtered-pages-of-50"])
    assert len(ask(cloud)["hpc_job_set"]) == 100
    for narrow in ({"jobs_status": "pending"}, {"queue_name": "q"}, {"search_word": "q"}):
        assert len(ask(cloud, **narrow)["hpc_job_set"]) == 50
    assert len(ask(cloud, job_status="pending")["hpc_job_set"]) == 100
    small = a_cloud(replace(DOCUMENTED, page_cap=8, filtered_page_cap=50))
    assert len(ask(small, jobs_status="pending")["hpc_job_set"]) == 8


class TestALaggingReplica:
    def test_every_second_answer_is_the_list_as_it_was(self) -> None:
        cloud = a_cloud(DEPLOYMENTS["lagging-20"], jobs=3)
        cloud.clusters["c"].speak(replace(DEPLOYMENTS["lagging-20"], lagging="alternate"))
        jobs = cloud.clusters["c"].jobs
        at = AT + 5000
        assert ask(cloud, at)["total_count"] == 3
        jobs.submit(at + 10, queue="q", user="u")
        assert [ask(cloud, at + 29)["total_count"] for _ in range(4)] == [3, 4, 3, 4]
        assert [ask(cloud, at + 30)["total_count"] for _ in range(2)] == [4, 4]

    def test_all_kinds_of_changes_come_late(self) -> None:
        cloud = a_cloud(replace(DOCUMENTED, lag_seconds=60), jobs=6)
        jobs = cloud.clusters["c"].jobs
        at = AT + 5000
        before = ask(cloud, at)
        first, second, third, fourth, *_ = [job.uuid for job in jobs.jobs()]
        jobs.requeue(first, at + 1)
        jobs.end(second, at + 2)
        jobs.delete([third])
        jobs.edit(fourth, at + 3, queue="other")
        jobs.load_one(JobRow("pending", "q", "u", 1, AT, None, AT))
        assert ask(cloud, at + 59) == before
        assert ask(cloud, at + 63) != before
        assert ask(cloud, at + 63) == ask(cloud, at + 63)

    def test_or_about_half_of_them_by_chance(self) -> None:
        cloud = a_cloud(DEPLOYMENTS["lagging-20"], jobs=3)
        ask(cloud, AT + 5000)
        cloud.clusters["c"].jobs.submit(AT + 5010, queue="q", user="u")
        totals = [ask(cloud, AT + 5012)["total_count"] for _ in range(60)]
        assert 15 < totals.count(3) < 45
        assert totals != [3, 4] * 30

    def test_it_lags_by_the_servers_clock_where_the_world_runs_by_another(self) -> None:
        cloud = a_cloud(DEPLOYMENTS["lagging-60"], jobs=3)
        jobs = cloud.clusters["c"].jobs
        server_at = AT + 10**6
        cloud.look(server_at)
        jobs.submit(AT + 6000, queue="q", user="u")  # long ago
        cloud.look(server_at + 1)
        jobs.submit(server_at + 10**7, queue="q", user="u")  # in the far future
        cloud.look(server_at + 2)
        lists = [
            {ask(cloud, server_at + seconds)["total_count"] for _ in range(2)}
            for seconds in (50, 60.5, 62)
        ]
        assert lists == [{3, 5}, {4, 5}, {5}]

    def test_another_dialect_forgets_the_past(self) -> None:
        cloud = a_cloud(DEPLOYMENTS["lagging-60"], jobs=3)
        cluster = cloud.clusters["c"]
        ask(cloud, AT + 5000)
        cluster.jobs.submit(AT + 5001, queue="q", user="u")
        cluster.speak(DOCUMENTED)
        assert {ask(cloud, AT + 5002)["total_count"] for _ in range(4)} == {4}
        assert cluster.jobs.log is None


def test_a_cache_gives_the_same_answer_to_the_same_question() -> None:
    cloud = a_cloud(DEPLOYMENTS["cached-5"], jobs=3)
    jobs = cloud.clusters["c"].jobs
    at = AT + 5000
    assert ask(cloud, at)["total_count"] == 3
    jobs.submit(at, queue="q", user="u")
    assert ask(cloud, at + 4)["total_count"] == 3
    assert ask(cloud, at + 4, limit="99")["total_count"] == 4
    assert ask(cloud, at + 5)["total_count"] == 4
    jobs.submit(at, queue="q", user="u")
    assert ask(cloud, at + 9)["total_count"] == 4


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_walk_over_all_pages_meets_every_job(name: str) -> None:
    cloud = a_cloud(DEPLOYMENTS[name])
    met = [
        uuid
        for offset in range(0, 300, 100)
        for uuid in (
            record["hpcjob_uuid"] for record in ask(cloud, offset=str(offset))["hpc_job_set"]
        )
    ]
    assert sorted(met) == sorted(job.uuid for job in cloud.clusters["c"].jobs.jobs())
