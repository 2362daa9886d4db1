"""States in, families out."""

import dataclasses
import math
from itertools import groupby

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from exporter import catalog, collector
from exporter.clock import Instant
from exporter.profile import TRAITS
from exporter.samples import Run, format_value
from exporter.snapshot import Grouped, JobCount
from tests.unit.board_states import NOON_AT, good_state, new_state
from tests.unit.collected import collect, values
from tests.unit.reference import is_misprinted


def test_all_families_but_telemetrys_come_in_the_catalogs_words() -> None:
    families = collect(good_state())
    expected = [m for m in catalog.CATALOG if m not in catalog.TELEMETRY]
    assert set(families) == {m.name.removesuffix("_total") for m in expected}
    for metric in expected:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.type, metric.help)
        assert family.unit == metric.unit
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)


def test_jobs_and_cores() -> None:
    families = collect(good_state())
    assert values(families["ehpc_jobs"], "status", "queue", "user") == {
        ("running", "默认队列", "alice"): 3, ("pending", "默认队列", "alice"): 2,
        ("finished", "vis", "bob"): 1200, ("pending", "vis", "bob"): 0,
        ("running", "vis", "bob"): 1, ("suspended", "vis", "_other"): 5,
    }  # fmt: skip
    assert values(families["ehpc_jobs_cores"], "status", "queue", "user") == {
        ("running", "默认队列", "alice"): 96, ("pending", "默认队列", "alice"): 64,
        ("pending", "vis", "bob"): 0, ("running", "vis", "bob"): 4,
    }  # fmt: skip


def test_oldest_pending_is_there_only_where_one_waits() -> None:
    family = collect(good_state())["ehpc_oldest_pending_submit_timestamp_seconds"]
    assert values(family, "queue") == {("默认队列",): NOON_AT - 5400.5}


def test_tallies() -> None:
    families = collect(good_state())
    assert values(families["ehpc_jobs_submitted"], "queue") == {
        ("默认队列",): 12, ("vis",): 1_234_567
    }  # fmt: skip
    assert values(families["ehpc_jobs_started"], "queue") == {("vis",): 7}
    ended = values(families["ehpc_jobs_ended"], "queue", "status")
    assert ended == {("vis", "finished"): 5, ("vis", "exited"): 2}


def test_histograms_are_cumulative() -> None:
    samples = collect(good_state())["ehpc_job_wait_seconds"].samples
    buckets = [(s.labels["le"], s.value) for s in samples if s.name.endswith("_bucket")]
    assert buckets[:3] == [("30.0", 2), ("60.0", 3), ("120.0", 3)]
    assert buckets[-2:] == [("604800.0", 3), ("+Inf", 4)]
    rest = {s.name: s.value for s in samples if not s.name.endswith("_bucket")}
    assert rest == {"ehpc_job_wait_seconds_count": 4, "ehpc_job_wait_seconds_sum": 700_071}


def test_state_of_syncing() -> None:
    families = collect(good_state("b"), new_state("a"))
    assert values(families["ehpc_up"], "cluster_name") == {("a",): 0, ("b",): 1}
    taken = values(families["ehpc_snapshot_timestamp_seconds"], "cluster_name")
    assert taken == {("b",): NOON_AT}
    last = values(families["ehpc_last_sync_success_timestamp_seconds"], "cluster_name")
    assert last == {("b",): NOON_AT + 0.5}
    strategy = values(families["ehpc_sync_strategy"], "cluster_name", "strategy")
    assert strategy == {
        ("a", "delta"): 0, ("a", "sweep"): 0, ("a", "scan"): 0,
        ("b", "delta"): 1, ("b", "sweep"): 0, ("b", "scan"): 0,
    }  # fmt: skip
    assert values(families["ehpc_history_complete"], "cluster_name") == {("a",): 0, ("b",): 1}
    assert values(families["ehpc_history_jobs_known"], "cluster_name") == {("b",): 1211}
    folded = values(families["ehpc_label_values_folded"], "label")
    assert folded == {("user",): 4, ("queue",): 0}
    info = families["ehpc_cluster_info"].samples[1]
    assert info.labels == {
        "cluster_name": "b", "cluster_id": "ehpc-b", "zone_id": "jinan1a", "account": "default"
    }  # fmt: skip


def test_what_the_server_does_is_told_also_where_it_cannot_be_reached() -> None:
    away = dataclasses.replace(new_state("away"), profile=good_state().profile)
    family = collect(away, new_state("new"))["ehpc_server_trait"]
    known = {("away", name): getattr(away.profile, name).value for name in TRAITS}
    assert known["away", "order"] == "change"
    unknown = {("new", name): "unknown" for name in TRAITS}
    told = {
        (s.labels["cluster_name"], s.labels["trait"]): s.labels["value"] for s in family.samples
    }
    assert told == known | unknown
    assert {sample.value for sample in family.samples} == {1}


def test_records_left_out() -> None:
    family = collect(good_state(), new_state())["ehpc_records_left_out"]
    assert values(family, "cluster_name", "reason") == {
        ("cfd", "identity"): 0,
        ("cfd", "status"): 2,
    }


def test_an_expectation_that_cannot_be_told_is_absent() -> None:
    state = good_state()
    assert state.snapshot is not None
    unknown = dataclasses.replace(state.snapshot, history_expected=None)
    families = collect(dataclasses.replace(state, snapshot=unknown))
    assert families["ehpc_history_jobs_expected"].samples == []


def test_the_exporter_itself() -> None:
    families = collect()
    assert values(families["ehpc_api_quota_requests"], "account")["default",] == 1000
    assert values(families["ehpc_api_quota_used"], "account")["default",] == 12
    on_disk = values(families["ehpc_budget_on_disk"], "account")
    assert on_disk == {("default",): 1, ("full",): 0}
    build = values(families["ehpc_exporter_build_info"], "version", "revision", "pythonversion")
    assert build == {("1.2.3", "abc", "3.11.2"): 1}
    assert values(families["ehpc_exporter_config_last_reload_successful"]) == {(): 1}
    reloaded = families["ehpc_exporter_config_last_reload_success_timestamp_seconds"]
    assert values(reloaded) == {(): NOON_AT - 100}


@pytest.mark.parametrize(
    ("age", "age_monotonic", "shown"),
    [
        (299.9, 299.9, True),
        (300, 300, True),
        (300.1, 0, False),  # the machine slept
        (-3300, 300, True),  # its clock was set back
        (-3300, 300.1, False),
    ],
)
def test_job_gauges_go_when_the_last_counts_are_too_old(
    age: float, age_monotonic: float, shown: bool
) -> None:
    stale, other = good_state("stale"), good_state("other", taken_at=NOON_AT + 1000)
    stale, other = (dataclasses.replace(s, taken_seconds=1000.0) for s in (stale, other))
    other = dataclasses.replace(other, taken_seconds=2000.0)
    now = Instant(NOON_AT + age, 1000.0 + age_monotonic)
    families = collect(stale, other, now=now)
    for name, family in families.items():
        clusters = {s.labels["cluster_name"] for s in family.samples if "cluster_name" in s.labels}
        if name.startswith(("ehpc_exporter", "ehpc_api", "ehpc_budget")):
            assert not clusters
        elif name in collector.JOB_GAUGES and not shown:
            assert clusters == {"other"}
        elif name in collector.CAPACITY_GAUGES | {"ehpc_capacity_timestamp_seconds"}:
            assert "stale" in clusters, name
        else:
            assert clusters == {"stale", "other"}, name


MADE_OF_THE_SNAPSHOT_AND_KEPT = {
    "ehpc_snapshot_timestamp_seconds", "ehpc_history_complete", "ehpc_history_jobs_known",
    "ehpc_history_jobs_expected", "ehpc_label_values_folded", "ehpc_records_left_out", "ehpc_user_info",
}  # fmt: skip
"""They say how old and how whole the counts are, and who is in which group."""


def test_gauges_made_of_the_snapshot_are_job_gauges() -> None:
    """One that is forgotten among them would be served for as long as the cloud is out of reach."""
    state = dataclasses.replace(good_state(), capacity=None)
    with_it, without = collect(state), collect(dataclasses.replace(state, snapshot=None))
    made_of_it = {
        name
        for name, family in with_it.items()
        if family.type == "gauge" and family.samples != without[name].samples
    }
    wanted = collector.JOB_GAUGES | MADE_OF_THE_SNAPSHOT_AND_KEPT
    assert made_of_it == wanted, "add it to catalog.JOB_GAUGES"


def test_order_does_not_depend_on_the_order_of_states_or_counts() -> None:
    first, second = good_state("a"), good_state("b")
    assert second.snapshot is not None
    turned = dataclasses.replace(second.snapshot, counts=second.snapshot.counts[::-1])
    one = collect(first, second)
    two = collect(dataclasses.replace(second, snapshot=turned), first)
    assert {k: f.samples for k, f in one.items()} == {k: f.samples for k, f in two.items()}


def test_groups_that_are_known_need_not_be_found() -> None:
    state = good_state("a")
    assert state.snapshot is not None
    plain = sorted(state.snapshot.counts)
    groups = {
        group: tuple(zip(*(count[2:] for count in counts), strict=True))
        for group, counts in groupby(plain, lambda count: count[:2])
    }
    counts = Grouped(JobCount, groups)
    assert counts == tuple(plain)
    grouped = dataclasses.replace(
        state, snapshot=dataclasses.replace(state.snapshot, counts=counts)
    )
    known = [
        part.items
        for parts in collector.cluster_parts(grouped)
        for part in parts
        if isinstance(part, Run) and "status" in part.labels and part.label == "user"
    ]
    for users, numbers in known:
        assert any(users is group[0] and numbers in group[1:] for group in groups.values())
    assert len(known) > len(groups)  # jobs, and cores of some
    assert collect(grouped) == collect(state)


@given(st.floats())
@example(1e6)
@example(999999.0)
@example(-1e7)
@example(1e16)
@example(math.inf)
def test_numbers_are_written_as_prometheus_client_does(value: float) -> None:
    assume(not is_misprinted(value))
    assert format_value(value) == floatToGoString(value)
