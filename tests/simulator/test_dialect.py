"""Every switch of a dialect, on what a caller sees."""

import json
import random
from dataclasses import fields, replace
from typing import Any

import pytest

from exporter.simulator import DEPLOYMENTS, DIALECTS, DOCUMENTED, Cloud, Dialect, Order, Transition
from exporter.simulator.records import CONTENT_MARK, time_text

START_AT = 1_700_000_000


def a_cloud(dialect: Dialect, jobs: int = 300) -> Cloud:
    """Jobs whose order by submission, modification and identity all differ."""
    rng = random.Random(5)
    cloud = Cloud(seed=1)
    hosted = cloud.add_cluster("c", dialect=dialect).jobs
    uuids = [
        hosted.submit(START_AT + number // 3, queue=rng.choice("PQ"), user=rng.choice("uv"))
        for number in range(jobs)
    ]
    rng.shuffle(uuids)
    for number, uuid in enumerate(uuids[: jobs // 2]):
        hosted.start(uuid, START_AT + 1000 + number // 4, moves_modified=True)
    return cloud


def page(cloud: Cloud, **params: str) -> list[dict[str, Any]]:
    answer = cloud.list_jobs("c", {"limit": "100", **params}, 0.0)
    assert answer["ret_code"] == 0, answer
    records: list[dict[str, Any]] = answer["hpc_job_set"]
    return records


def values(cloud: Cloud, field: str, **params: str) -> list[Any]:
    return [record[field] for record in page(cloud, **params)]


BY_MODIFIED = {"sort_key": "modified_time", "reverse": "1"}


@pytest.mark.parametrize("name", sorted(set(DIALECTS) - {"sort-ignored-ties-shuffled"}))
def test_a_walk_over_all_pages_meets_every_job_in_every_dialect(name: str) -> None:
    cloud = a_cloud(DIALECTS[name])
    cap = DIALECTS[name].page_cap
    met = [
        record["hpcjob_uuid"]
        for offset in range(0, 300, cap)
        for record in page(cloud, offset=str(offset), sort_key="")
    ]
    assert len(met) == 300
    if name != "ties-shuffled":
        assert sorted(met) == sorted(job.uuid for job in cloud.clusters["c"].jobs.jobs())


@pytest.mark.parametrize("key", ["modified_time", "submitted_time", "job_id", "hpcjob_uuid"])
def test_sorting_honoured(key: str) -> None:
    cloud = a_cloud(DOCUMENTED)
    rising = values(cloud, key, sort_key=key)
    falling = values(cloud, key, sort_key=key, reverse="1")
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert rising[0] < falling[0]


def test_sorting_ignored_and_refused() -> None:
    ignored = a_cloud(DIALECTS["sort-ignored"])
    assert page(ignored, **BY_MODIFIED) == page(ignored) == page(ignored, sort_key="colour")
    submitted = values(ignored, "submitted_time", **BY_MODIFIED)
    assert submitted == sorted(submitted, reverse=True)
    refused = a_cloud(DIALECTS["sort-refused"])
    assert refused.list_jobs("c", BY_MODIFIED, 0)["ret_code"] == 1101
    assert page(refused)
    by_id = a_cloud(DIALECTS["sort-ignored-by-id"])
    assert values(by_id, "job_id", **BY_MODIFIED) == list(range(10001, 10101))
    arbitrary = a_cloud(DIALECTS["sort-ignored-arbitrary"])
    ids = values(arbitrary, "job_id", **BY_MODIFIED)
    assert ids not in (sorted(ids), sorted(ids, reverse=True))
    assert ids == values(arbitrary, "job_id")


def test_sort_keys_that_are_not_known() -> None:
    some = a_cloud(DIALECTS["sort-by-submitted-only"])
    assert some.list_jobs("c", BY_MODIFIED, 0)["ret_code"] == 1101
    submitted = values(some, "submitted_time", sort_key="submitted_time")
    assert submitted == sorted(submitted)
    other = a_cloud(DIALECTS["sort-by-modified-only"])
    modified = values(other, "modified_time", **BY_MODIFIED)
    assert modified == sorted(modified, reverse=True)
    assert page(other, sort_key="submitted_time") == page(other)


def test_reverse_ignored() -> None:
    rising, falling = a_cloud(DIALECTS["reverse-ignored"]), a_cloud(DIALECTS["always-descending"])
    for reverse in ("0", "1"):
        ask = {"sort_key": "modified_time", "reverse": reverse}
        assert values(rising, "modified_time", **ask) == sorted(
            values(rising, "modified_time", **ask)
        )
        assert values(falling, "modified_time", **ask) == sorted(
            values(falling, "modified_time", **ask), reverse=True
        )


def test_ties() -> None:
    ask = {**BY_MODIFIED, "jobs_status": "running"}

    def runs(cloud: Cloud) -> list[list[int]]:
        by_second: dict[str, list[int]] = {}
        for record in page(cloud, **ask):
            by_second.setdefault(record["modified_time"], []).append(record["job_id"])
        return list(by_second.values())[:20]

    assert all(run == sorted(run) for run in runs(a_cloud(DOCUMENTED)))
    reversed_ties = runs(a_cloud(DIALECTS["ties-reversed"]))
    assert all(run == sorted(run, reverse=True) for run in reversed_ties)
    shuffled = a_cloud(DIALECTS["ties-shuffled"])
    first, second = runs(shuffled), runs(shuffled)
    assert first != second
    assert list(map(sorted, first)) == list(map(sorted, second))
    assert max(map(len, first)) > 1


def test_filters_and_totals() -> None:
    def totals(name: str) -> tuple[Any, Any]:
        cloud = a_cloud(DIALECTS[name])
        narrow = cloud.list_jobs("c", {"jobs_status": "running", "limit": "1"}, 0)
        return cloud.list_jobs("c", {}, 0).get("total_count"), narrow.get("total_count")

    assert totals("documented") == (300, 150)
    assert totals("total-whole") == (300, 300)
    assert totals("total-missing") == (None, None)
    assert totals("filters-ignored") == (300, 300)
    assert set(values(a_cloud(DOCUMENTED), "job_status", jobs_status="pending")) == {"pending"}
    ignored = a_cloud(DIALECTS["filters-ignored"])
    assert page(ignored, jobs_status="pending", queue_name="P", run_user="u") == page(ignored)
    assert totals("filters-empty") == (300, 0)
    half = a_cloud(DIALECTS["filters-empty-pending"])
    assert not page(half, jobs_status="pending")
    assert page(half, jobs_status="running")
    scan = a_cloud(DIALECTS["nothing-honoured"])
    assert page(scan, jobs_status="pending", **BY_MODIFIED) == page(scan)


def test_statuses_that_are_not_listed() -> None:
    def answer(unlisted: Any) -> dict[str, Any]:
        cloud = a_cloud(replace(DOCUMENTED, unlisted_status=unlisted))
        jobs = cloud.clusters["c"].jobs
        jobs.suspend(next(jobs.jobs()).uuid, START_AT + 9000)
        return cloud.list_jobs("c", {"jobs_status": "suspended"}, 0)

    assert answer("matched")["total_count"] == 1
    assert answer("ignored")["total_count"] == 300
    assert answer("1100")["ret_code"] == 1100
    assert answer("problem")["status"] == 400
    assert answer("problem-500")["status"] == 500


def test_times() -> None:
    assert time_text(1_629_381_981) == "2021-08-19T14:06:21"
    plain, with_z = page(a_cloud(DOCUMENTED))[0], page(a_cloud(DIALECTS["times-z"]))[0]
    assert plain["submitted_time"] == "2023-11-14T22:14:59"
    assert with_z["submitted_time"] == "2023-11-14T22:14:59Z"
    local = page(a_cloud(DIALECTS["times-local"]))[0]
    assert local["submitted_time"] == "2023-11-15T06:14:59"
    assert set(values(a_cloud(DOCUMENTED), "started_time", jobs_status="pending")) == {None}
    assert set(values(a_cloud(DIALECTS["times-z"]), "started_time", jobs_status="pending")) == {""}
    zero = a_cloud(replace(DOCUMENTED, absent_start="zero"))
    zero_times = set(values(zero, "started_time", jobs_status="pending"))
    assert zero_times == {"1970-01-01T08:00:00"}


def test_spellings() -> None:
    strings = a_cloud(DIALECTS["strings"])
    answer = strings.list_jobs("c", {}, 0)
    assert (answer["total_count"], answer["ret_code"]) == ("300", 0)
    assert answer["hpc_job_set"][0]["core_limit"] == "1"
    assert answer["hpc_job_set"][0]["job_id"].isdigit()
    nulls = a_cloud(DIALECTS["nulls"])
    assert nulls.list_jobs("c", {"offset": "900"}, 0)["hpc_job_set"] is None
    assert page(nulls)[0]["queue_name"] is None
    assert page(nulls)[0]["name"] in {"P", "Q"}
    untidy = a_cloud(DIALECTS["untidy"])
    assert "queue_name" not in page(untidy)[0]
    assert untidy.list_jobs("c", {}, 0)["paging"] == {"next": None}
    statuses = set(values(untidy, "job_status"))
    assert {text.strip().lower() for text in statuses} == {"pending", "running"}
    assert not statuses & {"pending", "running"}
    jobs = strings.clusters["c"].jobs
    jobs.edit(page(strings)[0]["hpcjob_uuid"], 0, cores=0)
    assert page(strings)[0]["core_limit"] is None


def test_page_cap() -> None:
    assert len(page(a_cloud(DIALECTS["small-pages"]))) == 20


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("documented", {"start", "end", "cancel", "requeue"}),
        ("still-start", {"end", "cancel", "requeue"}),
        ("still-end", {"start", "requeue"}),
        ("still-requeue", {"start", "end", "cancel"}),
        ("still-all", set()),
    ],
)
def test_modified_time_stays_at_some_transitions(name: str, moved: set[str]) -> None:
    jobs = Cloud().add_cluster("c", dialect=DIALECTS[name]).jobs
    found = set()
    for deed in ("start", "end", "cancel", "requeue"):
        uuid = jobs.submit(1000, queue="q", user="u")
        getattr(jobs, deed)(uuid, 2000)
        if jobs.get(uuid).modified_at == 2000:
            found.add(deed)
    assert found == moved


def test_every_switch_is_thrown_in_some_named_dialect() -> None:
    for field in fields(Dialect):
        named = (*DIALECTS.values(), *DEPLOYMENTS.values())
        used = {getattr(dialect, field.name) for dialect in named}
        assert len(used) > 1, field.name
    used_still = set().union(*(dialect.still_transitions for dialect in DIALECTS.values()))
    assert used_still == set(Transition)
    assert {dialect.default_order for dialect in DIALECTS.values()} >= {Order.UUID, Order.JOB_ID}


def test_private_content_is_marked_and_hostile_content_survives_json() -> None:
    records = page(a_cloud(DOCUMENTED))
    for field in ("job_name", "cmd_line", "exec_cwd", "stdout_redirect_path"):
        assert all(CONTENT_MARK in record[field] for record in records)
    names = "".join(record["job_name"] for record in records)
    assert all(text in names for text in ('"', "\\", "\n", "作业", "<script>", "\0"))
    assert json.loads(json.dumps(records)) == records
