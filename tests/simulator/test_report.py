"""Clusters that behave like the servers of a report."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import DOCUMENTED, Order, dialect_from_profile
from exporter.simulator.command import SimulatorError, add_arguments, build_simulation
from exporter.simulator.report import read_report
from exporter.simulator.simulation import Simulation

NOW_AT = 1_700_000_000.0
UNSORTED = {"sort_keys": frozenset(), "unknown_sort_key": "ignored"}


def served(path: Path, report: Any) -> Simulation:
    path.write_text(report if isinstance(report, str) else json.dumps(report), encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return build_simulation(parser.parse_args([f"--profile={path}"]), NOW_AT)


def test_a_report_is_served(tmp_path: Path) -> None:
    counts = {"pending": 12, "running": 5, "stopped": 2, "finished": 2000, "exited": 31}
    cluster = {
        "cluster_id": "ehpc-1",
        "traits": {
            "status_filter": "job_status",
            "order": "submission",
            "total_count": "cluster",
            "page_size": "50",
            "depth": "10000",
            "zone": "+08:00",
            "lag": "20",
        },
        "jobs": counts,
        "evidence": {"whatever": "else is in it"},
    }
    other = {"cluster_id": "ehpc-2", "zone": "jn1a", "traits": {}, "jobs": {}}
    simulation = served(tmp_path / "report.json", {"clusters": [cluster, other], "clock": 0.1})
    first, second = simulation.cloud.clusters.values()
    assert (first.zone, second.zone, len(second.jobs)) == ("jinan1a", "jn1a", 0)
    assert simulation.truth()["ehpc-1"]["by_status"] == counts
    assert first.dialect == replace(
        DOCUMENTED,
        status_filter="job_status",
        unknown_param="1100",
        sort_keys=frozenset({Order.SUBMITTED}),
        unknown_sort_key="ignored",
        total_count="whole",
        page_cap=50,
        depth_limit=10_000,
        zone_offset_seconds=8 * 3600,
        lag_seconds=20,
    )
    assert second.dialect == DOCUMENTED
    for job in first.jobs.jobs():
        assert job.submitted_at <= (job.started_at or job.submitted_at) <= job.modified_at <= NOW_AT
        assert (job.started_at is None) == (job.status == "pending")
    answer = simulation.cloud.list_jobs("ehpc-1", {"job_status": "pending"}, NOW_AT)
    assert {record["job_status"] for record in answer["hpc_job_set"]} == {"pending"}


@pytest.mark.parametrize(
    ("trait", "value", "changed"),
    [
        ("status_filter", "jobs_status", {"unknown_param": "1100"}),
        ("status_filter", "both", {"status_filter": "either"}),
        ("status_filter", "none", {"filters": "ignored"}),
        ("order", "change", {}),
        ("order", "default", {"sort_keys": frozenset()}),
        ("order", "none", {**UNSORTED, "default_order": Order.UUID}),
        (
            "order",
            "change_only",
            {"sort_keys": frozenset({Order.MODIFIED}), "unknown_sort_key": "ignored"},
        ),
        ("total_count", "filtered", {}),
        ("total_count", "none", {"total_count": "missing"}),
        ("page_size", "100", {}),
        ("depth", "unlimited", {}),
        ("zone", "utc", {}),
        ("zone", "unknown", {}),
        ("zone", "configured", {}),
        ("zone", "stamped", {"times": "z"}),
        ("lag", "0", {}),
        ("order", "unknown", {}),
    ],
)
def test_traits(trait: str, value: str, changed: dict[str, Any]) -> None:
    assert dialect_from_profile({trait: value}) == replace(DOCUMENTED, **changed)


def clusters(**cluster: Any) -> dict[str, Any]:
    return {"clusters": [{"cluster_id": "ehpc-1"}, {"cluster_id": "ehpc-2", **cluster}]}


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ("{", "Input data was truncated"),
        ([], "Expected `object`, got `array`"),
        ({}, "Object missing required field `clusters`"),
        ({"clusters": []}, "Expected `array` of length >= 1 - at `$.clusters`"),
        ({"clusters": [{}]}, "missing required field `cluster_id` - at `$.clusters[0]`"),
        (clusters(jobs={"pending": -1}), "Expected `int` >= 0 - at `$.clusters[1].jobs[...]`"),
        (clusters(jobs={"pending": 10**11}), "Expected `int` <= 10000000"),
        (clusters(jobs={"pending": "9"}), "Expected `int`, got `str`"),
        (clusters(traits={"lag": 20}), "Expected `str`, got `int` - at `$.clusters[1].traits"),
        (clusters(traits={"colour": "red"}), "clusters[1].traits.colour: no such trait"),
        (
            clusters(traits={"order": "size"}),
            "clusters[1].traits.order: size is none of change, change_only, submission,",
        ),
        (clusters(traits={"depth": "deep"}), "clusters[1].traits.depth: depth=deep is not"),
        (clusters(traits={"lag": "20,page_cap=3"}), "clusters[1].traits.lag: lag=20 page"),
        (clusters(traits={"zone": "UTC+8"}), "clusters[1].traits.zone: zone=UTC+8 is neither"),
    ],
)
def test_a_report_that_cannot_be_understood_is_told_in_one_line(
    tmp_path: Path, report: Any, told: str
) -> None:
    with pytest.raises(SimulatorError) as error:
        served(tmp_path / "report.json", report)
    message = str(error.value)
    assert message.startswith(f"--profile: {tmp_path / 'report.json'}: ")
    assert told in message
    assert "\n" not in message


def test_the_same_report_and_seed_make_the_same_jobs(tmp_path: Path) -> None:
    report = clusters(jobs={"pending": 30, "finished": 400})
    first, again = (served(tmp_path / name, report).truth() for name in ("one", "other"))
    assert first == again
    assert [each.jobs for each in read_report(json.dumps(report))] == [
        {},
        {"pending": 30, "finished": 400},
    ]
