"""A doctor before servers of every kind: it tells the truth about each, in few calls."""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import pytest

from exporter.api.shape import STATUSES
from exporter.api.transport import RawAnswer
from exporter.cli.doctor.report import report_of, report_text
from exporter.daemon.differences import differences
from exporter.daemon.doctor import MOST_CALLS
from exporter.daemon.findings import (
    CALL_NAMES,
    Call,
    CapacityFindings,
    ClusterFindings,
    Findings,
    cost_of,
    cost_of_all,
)
from exporter.errors import TransportError
from exporter.profile import TRAITS
from exporter.simulator import (
    CONTENT_MARK,
    DOCUMENTED,
    Dialect,
    Order,
    draw_dialect,
    fill,
    parse_fleet,
)
from exporter.simulator import parse_dialect as spoken
from exporter.simulator.command import add_arguments, build_simulation
from exporter.texts import Words

from .patients import ACCOUNT, NOW_AT, ZONE, SecretWords, Surgery

DRAWN = [draw_dialect(random.Random(seed)) for seed in range(20)]


def keys(found: Findings) -> set[str]:
    return {each.key for each in differences(found)}


def truth(dialect: Dialect) -> dict[str, set[str]]:
    """By trait, what may be said of a server: ``unknown`` only where nothing need have shown it."""
    names = {"jobs_status": "jobs_status", "job_status": "job_status", "either": "both"}
    filters = names[dialect.status_filter] if dialect.unknown_param != "ignored" else "both"
    works = dialect.filters == "honoured" and not dialect.filter_after_cut
    by_default = dialect.default_order in (Order.SUBMITTED, Order.JOB_ID)
    order = "none"
    if by_default and dialect.default_descending:  # so it seems to heed any key that it ignores
        order = "submission" if dialect.unknown_sort_key == "ignored" else "default"
    if Order.SUBMITTED in dialect.sort_keys:
        order = "change" if Order.MODIFIED in dialect.sort_keys else "submission"
    orders = {order}
    if dialect.times == "mixed":
        orders.add("none")  # their order does not show while the zone is not known
    zone = "utc" if not dialect.zone_offset_seconds else "+08:00"
    return {
        "status_filter": {filters if works else "none"},
        "order": orders,
        "total_count": {"unknown", "filtered" if dialect.total_count == "filtered" else "cluster"},
        "page_size": {str(dialect.page_cap)},
        "depth": {"unknown"},  # no list here is so long
        "zone": {"stamped"} if dialect.times == "z" else {"unknown", zone},
        "lag": {"unknown"},  # nothing changes here
    }


def told_of(dialect: Dialect) -> dict[str, bool]:
    """By difference, whether it is to be told."""
    expected = truth(dialect)
    return {
        "no_filter": expected["status_filter"] == {"none"},
        "filter_name": expected["status_filter"] == {"job_status"},
        "short_pages": dialect.page_cap < 100,
        "zones_mixed": dialect.times == "mixed"
        or (dialect.times, dialect.absent_start) == ("z", "zero"),  # which stands for no time
        "numbers_in_texts": dialect.numbers == "string",
        "no_queue_name": dialect.queue_name != "present",
        "unknown_fields": dialect.extra_fields,
        "unknown_answer_fields": dialect.extra_fields,
        "no_cluster_list": False,
        "not_finished": False,
        "clock_behind": False,
    }


@pytest.mark.parametrize("dialect", DRAWN, ids=range(20))
def test_the_truth_about_twenty_servers(dialect: Dialect) -> None:
    surgery = Surgery(dialect)
    found = surgery.diagnose("ehpc-0")
    (cluster,) = found.clusters
    assert not found.failures
    assert (found.keys, cluster.finished, cluster.total) == ("accepted", True, 3000)
    assert found.calls == surgery.cloud.calls <= MOST_CALLS
    for trait, may_be in truth(dialect).items():
        assert cluster.traits[trait] in may_be, trait
    told = keys(found)
    assert ("order_submission" in told) == (cluster.traits["order"] in ("submission", "default"))
    assert ("no_order" in told) == (cluster.traits["order"] == "none")
    assert {key: key in told for key in told_of(dialect)} == told_of(dialect)
    assert cluster.shape is not None
    assert {"pending"} < cluster.shape.statuses < STATUSES
    for words in (Words("en"), Words("zh")):
        for trait in TRAITS:
            evidence = getattr(cluster.profile, trait).evidence
            assert words.evidence(evidence) or not evidence, evidence


@pytest.mark.parametrize("dialect", DRAWN, ids=range(20))
def test_the_report_is_a_server_that_does_the_same(dialect: Dialect, tmp_path: Path) -> None:
    before = Surgery(dialect).diagnose("ehpc-0")
    report = tmp_path / "report.json"
    report.write_text(report_text(before), encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    simulation = build_simulation(parser.parse_args([f"--profile={report}"]), NOW_AT)
    again = Surgery()
    again.use(simulation.cloud)
    found = again.diagnose("ehpc-1")
    (first,), (second,) = before.clusters, found.clusters
    assert second.total == first.total
    # What only a change can show is not shown by jobs that stand still.
    by_change = {"lag"} if first.traits["zone"] == "stamped" else {"lag", "zone"}
    for trait in set(TRAITS) - by_change:
        if first.traits[trait] != "unknown":
            assert second.traits[trait] == first.traits[trait]


@pytest.mark.parametrize("dialect", DRAWN[:6], ids=range(6))
def test_nothing_of_anybody_is_in_a_report(dialect: Dialect) -> None:
    surgery = SecretWords(dialect)
    text = report_text(surgery.diagnose("ehpc-0"))
    for word in (*surgery.words, CONTENT_MARK, "jinan1a", "ehpc-0", ACCOUNT.access_key_id,
                 ACCOUNT.secret_access_key, "hpcjob-", "example.com"):  # fmt: skip
        assert word not in text


def test_many_active_jobs_do_not_hide_the_order() -> None:
    found = Surgery(DOCUMENTED, jobs=9000, active=6000).diagnose("ehpc-0")
    (cluster,) = found.clusters
    assert found.calls <= MOST_CALLS
    assert (cluster.traits["status_filter"], cluster.traits["order"]) == ("both", "change")
    assert cluster.finished


@pytest.mark.parametrize("jobs", [0, 1, 99])
def test_a_list_of_one_page_asks_for_no_more(jobs: int) -> None:
    found = Surgery(DOCUMENTED, jobs=jobs, active=jobs).diagnose("ehpc-0")
    (cluster,) = found.clusters
    assert (cluster.one_page, cluster.finished, cluster.total) == (True, True, jobs)
    assert sum(count or 0 for count in cluster.active.values()) == jobs
    assert found.calls <= 4
    assert cost_of(cluster, found.collection).calls_a_sync == 1
    assert not keys(found) - {"zone_unknown"}


def test_wrong_keys_are_told_once_in_one_call() -> None:
    surgery = Surgery(DOCUMENTED, DOCUMENTED)
    found = surgery.diagnose("ehpc-0", "ehpc-1", secret="wrong")
    assert (found.keys, found.calls, surgery.cloud.calls) == ("refused", 1, 1)
    assert [(each.reason, each.clusters) for each in found.failures] == [("authentication", ())]
    assert "secret access key" in found.failures[0].advice
    assert not differences(found)


@pytest.mark.parametrize(("ahead", "key"), [(180.0, "clock_behind"), (-42.0, "clock_ahead")])
def test_a_wrong_clock(ahead: float, key: str) -> None:
    surgery = Surgery(DOCUMENTED)
    surgery.wire.server_ahead_seconds = ahead
    found = surgery.diagnose("ehpc-0")
    assert found.clock_off_seconds == pytest.approx(-ahead, abs=1.0)
    assert (found.keys, found.failures) == ("accepted", ())
    assert key in keys(found)


def test_few_active_jobs_are_no_short_pages() -> None:
    """One finished job of thousands was asked for, and all running ones."""
    surgery = Surgery(DOCUMENTED, active=0)
    jobs = surgery.cloud.clusters["ehpc-0"].jobs
    for _ in range(11):
        jobs.start(jobs.submit(NOW_AT - 30, queue="q", user="u"), NOW_AT - 20)
    assert "short_filtered_pages" not in keys(surgery.diagnose("ehpc-0"))


def test_no_date() -> None:
    surgery = Surgery(DOCUMENTED)
    surgery.wire.dated = False
    found = surgery.diagnose("ehpc-0")
    assert found.clock_off_seconds is None
    assert "no_date" in keys(found)


def test_the_account_may_have_fewer_calls_left() -> None:
    surgery = Surgery(DOCUMENTED)
    budget = surgery.budget(3)
    found = surgery.diagnose("ehpc-0", budget=budget)
    assert found.calls == surgery.cloud.calls == budget.used() <= found.most_calls == 3
    assert not found.clusters[0].finished
    assert not found.failures
    assert "not_finished" in keys(found)
    assert surgery.told[0] == ("", 0, 3)


def test_none_left_is_a_failure() -> None:
    surgery = Surgery(DOCUMENTED)
    budget = surgery.budget(2)
    for _ in range(2):
        budget.admit("ehpc-0")
    found = surgery.diagnose("ehpc-0", budget=budget)
    assert [each.reason for each in found.failures] == ["budget"]
    assert (found.calls, surgery.cloud.calls) == (0, 0)


def test_each_of_many_clusters_is_looked_at_once_as_far_as_calls_reach() -> None:
    surgery = Surgery(*[DOCUMENTED] * 30, jobs=300, active=30)
    found = surgery.diagnose(*(f"ehpc-{number}" for number in range(30)))
    calls = [each.calls for each in found.clusters]
    assert sum(calls) + 1 == found.calls == surgery.cloud.calls == MOST_CALLS
    assert calls == [1] * 24 + [0] * 6
    assert len(differences(found)) == len(keys(found))
    assert cost_of_all(found).history_hours is None


@pytest.mark.parametrize("seed", range(5))
def test_two_clusters_are_both_found_out(seed: int) -> None:
    surgery = Surgery(DOCUMENTED, spoken("console"), jobs=6000, active=700)
    found = surgery.diagnose("ehpc-0", "ehpc-1", seed=seed)
    assert [each.traits["order"] for each in found.clusters] == ["change", "submission"]
    assert [each.finished for each in found.clusters] == [True, True]
    cost = cost_of_all(found)
    assert cost.history_hours is not None
    assert [cost_of(each, found.collection).strategy for each in found.clusters] == [
        "delta",
        "sweep",
    ]


def test_a_cluster_that_is_not_there_leaves_the_others() -> None:
    found = Surgery(DOCUMENTED).diagnose("ehpc-8", "ehpc-0", "ehpc-9")
    assert [(each.reason, each.clusters) for each in found.failures] == [
        ("not_found", ("ehpc-8", "ehpc-9"))
    ]
    assert [each.finished for each in found.clusters] == [False, True, False]
    assert cost_of_all(found).history_hours is None


def test_clusters_are_those_that_the_cloud_lists() -> None:
    found = Surgery(DOCUMENTED, DOCUMENTED, jobs=50, active=5).diagnose()
    assert [each.config.cluster_id for each in found.clusters] == ["ehpc-0", "ehpc-1"]
    assert [each.listed is not None for each in found.clusters] == [True, True]


def test_those_that_discovery_finds_are_looked_at_in_each_zone_beside_the_configured_ones() -> None:
    surgery = Surgery(DOCUMENTED, DOCUMENTED, DOCUMENTED, jobs=50, active=5)
    far = surgery.cloud.add_cluster("ehpc-far", zone="jn1a")
    fill(far.jobs, 20, active=2, now_at=NOW_AT, seed=9)
    zones = {"zones": [ZONE, "jn1a"], "exclude": ["ehpc-2"]}
    found = surgery.diagnose("ehpc-1", discovery=zones)
    assert [each.config.name for each in found.clusters] == ["ehpc-1", "ehpc-0", "ehpc-far"]
    assert [each.total for each in found.clusters] == [50, 50, 20]
    assert all(each.listed is not None for each in found.clusters)
    assert len(found.listed or ()) == 4
    assert not found.failures


def test_no_cluster_anywhere() -> None:
    found = Surgery().diagnose()
    assert [each.reason for each in found.failures] == ["no_cluster"]
    assert found.keys == "accepted"


def refused(code: int) -> RawAnswer:
    body = json.dumps({"ret_code": code, "message": "missing owner usr-secret"}).encode()
    return RawAnswer(200, body, NOW_AT, 0.1)


def test_a_cloud_that_lists_no_clusters() -> None:
    surgery = Surgery(DOCUMENTED)
    surgery.wire.clusters = lambda: refused(1100)
    found = surgery.diagnose("ehpc-0")
    assert not found.failures
    assert "no_cluster_list" in keys(found)
    assert report_of(found)["cluster_list"]["failure"] == {"reason": "request", "ret_code": 1100}
    assert "usr-secret" not in report_text(found)
    alone = surgery.diagnose()
    assert [each.reason for each in alone.failures] == ["request"]


def test_an_endpoint_that_does_not_answer_is_asked_few_times() -> None:
    surgery = Surgery(DOCUMENTED, DOCUMENTED)

    def lost() -> RawAnswer:
        raise TransportError("connection", "nobody there", retryable=True, advice="Look.")

    surgery.wire.clusters = lost
    found = surgery.diagnose("ehpc-0", "ehpc-1")
    assert [each.reason for each in found.failures] == ["connection"]
    assert (found.calls, found.keys) == (3, "unknown")


def test_what_answers_say_of_quotas_and_how_long_they_take() -> None:
    surgery = Surgery(DOCUMENTED, jobs=50)
    surgery.wire.headers = (("x-ratelimit-remaining", "1873"),)
    surgery.wire.seconds = 6.0
    found = surgery.diagnose("ehpc-0")
    assert found.quota_headers == (("x-ratelimit-remaining", "1873"),)
    assert {each.path for each in found.timings} == {"/api/cluster/list", "/api/job/list"}
    assert found.timings[0].median_seconds == 6.0
    assert "slow" in keys(found)


def test_a_change_meanwhile_proves_the_zone() -> None:
    surgery = Surgery(spoken("zone=+08:00"), jobs=2000, active=60)
    jobs = surgery.cloud.clusters["ehpc-0"].jobs

    def happens() -> None:
        jobs.submit(surgery.clock.now, queue="q", user="u")

    surgery.wire.between = happens
    (cluster,) = surgery.diagnose("ehpc-0").clusters
    assert cluster.traits["zone"] == "+08:00"


def test_what_is_odd_in_records_is_told() -> None:
    surgery = Surgery(spoken("untidy"), jobs=50, active=5)
    jobs = surgery.cloud.clusters["ehpc-0"].jobs
    jobs.submit(NOW_AT - 10, queue="q", user="u", status="held")
    found = surgery.diagnose("ehpc-0")
    told = {each.key: each.parts for each in differences(found)}
    assert told["unknown_statuses"] == {"names": "held"}
    assert told["unknown_fields"] == {"names": "end_time, gpu_limit, 状态"}
    assert "untidy_statuses" in told


def test_jobs_of_a_report_add_up() -> None:
    found = Surgery(spoken("console"), jobs=3000, active=300).diagnose("ehpc-0")
    jobs: dict[str, Any] = report_of(found)["clusters"][0]["jobs"]
    truth = Surgery(spoken("console"), jobs=3000, active=300).cloud.clusters["ehpc-0"].jobs
    assert sum(jobs.values()) == 3000
    for status in ("pending", "running"):
        assert jobs[status] == truth.matching(status=status)


# -- capacity ----------------------------------------------------------------------------------


def equipped(*fleet: str, clusters: int = 1, queues: int = 2) -> Surgery:
    surgery = Surgery(*[DOCUMENTED] * clusters, jobs=300, active=0)
    surgery.cloud.fleet = parse_fleet(",".join(fleet) or "documented")
    for hosted in surgery.cloud.clusters.values():
        for number in range(queues):
            hosted.plant.add_queue(f"secret-queue-{number}", cores=64, gpus=8 * number)
    return surgery


def capacity_of(surgery: Surgery, *ids: str) -> list[CapacityFindings]:
    found = surgery.diagnose(*(ids or ("ehpc-0",)), capacity_interval="10m")
    assert found.calls == surgery.cloud.calls <= MOST_CALLS
    assert not found.failures
    assert sum(each.calls for each in found.clusters) + 1 == found.calls
    return [each.capacity for each in found.clusters if each.capacity is not None]


def test_what_the_calls_about_capacity_tell() -> None:
    (found,) = capacity_of(equipped())
    assert {call: each.outcome for call, each in found.answers.items()} == dict.fromkeys(
        CALL_NAMES, "answered"
    )
    assert found.capacity is not None
    assert found.capacity.status == "active"
    assert [(each.names[0], each.cores, each.gpus) for each in found.queues] == [
        ("secret-queue-0", (64.0, 64.0), (0.0, 0.0)), ("secret-queue-1", (64.0, 64.0), (8.0, 8.0)),
    ]  # fmt: skip
    assert sum(found.capacity.nodes.values()) > 2


@pytest.mark.parametrize(
    ("fleet", "call", "key"),
    [("queues", "queues", "capacity_denied"), ("queue", "queue", "capacity_denied"),
     ("nodes", "nodes", "capacity_denied")],
)  # fmt: skip
def test_what_the_account_may_not_ask_is_said_with_what_to_do(
    fleet: str, call: Call, key: str
) -> None:
    surgery = equipped(f"forbidden={fleet}")
    found = surgery.diagnose("ehpc-0", capacity_interval="10m")
    (cluster,) = found.clusters
    assert cluster.capacity is not None
    assert cluster.capacity.calls_with("denied") == [call]
    told = {each.key: each.parts for each in differences(found)}
    assert told[key] == {"calls": CALL_NAMES[call]}
    for words in (Words("en"), Words("zh")):
        assert "capacity_interval: off" in words(f"do.{key}")
        assert "{gpu: {cores: 512}}" in words(f"do.{key}")
    surgery.cloud.clusters["ehpc-0"].plant.status = "stopped"
    assert key not in keys(surgery.diagnose("ehpc-0", capacity_interval="10m"))


def test_the_call_for_the_queues_of_an_hpc_cluster_has_another_name() -> None:
    surgery = Surgery()
    surgery.cloud.fleet = parse_fleet("forbidden=queues")
    surgery.cloud.add_cluster("hpc-0", zone=ZONE)
    told = {e.key: e.parts for e in differences(surgery.diagnose("hpc-0", capacity_interval="10m"))}
    assert told["capacity_denied"] == {"calls": "getCurrentQueue"}


def test_a_cloud_that_tells_no_cores() -> None:
    surgery = equipped("no-capacity")
    assert "no_capacity" in keys(surgery.diagnose("ehpc-0", capacity_interval="10m"))
    assert "no_capacity" not in keys(equipped().diagnose("ehpc-0", capacity_interval="10m"))


def test_each_cluster_is_asked_before_each_queue() -> None:
    found = capacity_of(equipped(clusters=2, queues=30), "ehpc-0", "ehpc-1")
    assert [len(each.queues) for each in found] == [30] * 2
    for each in found:
        assert each.answers["nodes"].outcome == "answered"
        assert each.answers["queue"].outcome == "not_asked"
        assert any(queue.cores.available is not None for queue in each.queues)


def test_a_list_that_takes_all_calls_leaves_some_for_capacity() -> None:
    surgery = Surgery(DOCUMENTED, jobs=9000, active=6000)
    surgery.cloud.clusters["ehpc-0"].plant.add_queue("q", cores=64)
    found = surgery.diagnose("ehpc-0", capacity_interval="10m")
    (cluster,) = found.clusters
    assert (cluster.finished, found.calls <= MOST_CALLS) == (True, True)
    assert cluster.capacity is not None
    assert cluster.capacity.queues[0].cores == (64.0, 64.0)


@pytest.mark.parametrize("fault", ["http-502", "ret-5000"])
def test_capacity_that_fails_is_no_failure_of_the_rest(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    surgery = equipped()
    handle = surgery.cloud.handle

    def failing(method: str, path: str, query: str, now_at: float) -> Any:
        if "Queue" in path and not surgery.cloud.faults.rules:
            surgery.cloud.faults.add(fault)
        return handle(method, path, query, now_at)

    monkeypatch.setattr(surgery.cloud, "handle", failing)
    found = surgery.diagnose("ehpc-0", capacity_interval="10m")
    assert not found.failures
    (cluster,) = found.clusters
    assert cluster.finished
    assert cluster.capacity is not None
    assert cluster.capacity.calls_with("failed")[0] == "queues"
    assert "capacity_failed" in keys(found)
    assert found.calls <= MOST_CALLS


def test_no_name_of_a_queue_is_in_a_report() -> None:
    found = equipped().diagnose("ehpc-0", capacity_interval="10m")
    assert report_of(found)["clusters"][0]["capacity"] == {
        "answers": {call: {"outcome": "answered"} for call in CALL_NAMES},
        "queues": 2, "queues_with_cores": 2, "queues_with_free_cores": 2, "queues_with_gpus": 1,
        "nodes": sum(found.clusters[0].capacity.capacity.nodes.values()),  # type: ignore[union-attr]
    }  # fmt: skip
    assert "secret-queue" not in report_text(found)


def test_no_call_is_made_for_capacity_where_it_is_off() -> None:
    surgery = equipped()
    (cluster,) = surgery.diagnose("ehpc-0").clusters
    assert cluster.capacity is None
    assert {entry.path for entry in surgery.cloud.journal} == {
        "/api/cluster/list", "/api/job/list"
    }  # fmt: skip


def test_a_cluster_that_was_not_looked_at_has_no_findings() -> None:
    found = Surgery(DOCUMENTED).diagnose("ehpc-0", secret="wrong")
    (cluster,) = found.clusters
    assert cluster == ClusterFindings(config=cluster.config)
    assert report_of(found)["clusters"][0]["cost"] is None


@pytest.mark.parametrize("server", ["window", "window-refused"])
def test_an_order_that_could_not_be_proven_is_told_with_the_reason(server: str) -> None:
    found = Surgery(spoken(server), jobs=12_000).diagnose("ehpc-0")
    (cluster,) = found.clusters
    assert not found.failures
    if cluster.traits["order"] == "none":
        assert "no_order" in keys(found)
        assert Words("zh").evidence(cluster.profile.order.evidence)
