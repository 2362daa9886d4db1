"""The line of each hour."""

from dataclasses import replace

import pytest

from exporter.collector import AccountQuota
from exporter.daemon.summary import SUMMARY_SECONDS, Standing, Summary, standings
from exporter.snapshot import ClusterState
from exporter.telemetry import Telemetry
from tests.unit.board_states import good_state, identity

STANDING = Standing(
    account="a",
    clusters=2,
    up=1,
    histories_complete=1,
    calls_used=70,
    calls_allowed=1000,
    syncs=60,
    failed_syncs=3,
    corrections=5,
)


def test_nothing_is_said_within_the_hour() -> None:
    asked = []

    def read() -> list[Standing]:
        asked.append(1)
        return [STANDING]

    summary = Summary(read, 1000.0)
    for seconds in (0.0, 1.0, 1800.0, 3599.9):
        assert summary.lines(1000.0 + seconds) == []
        assert summary.wait_seconds(1000.0 + seconds) == pytest.approx(SUMMARY_SECONDS - seconds)
    assert not asked
    assert summary.wait_seconds(1000.0 + 3600.0) == 0.0
    assert len(summary.lines(1000.0 + 3600.0)) == 1
    assert summary.lines(1000.0 + 3601.0) == []


def test_after_a_machine_slept_one_line_is_enough() -> None:
    summary = Summary(lambda: [STANDING], 0.0)
    assert len(summary.lines(50_000.0)) == 1
    assert summary.lines(50_001.0) == []
    assert summary.wait_seconds(50_000.0) == SUMMARY_SECONDS


def test_counts_are_of_the_time_since_the_last_line() -> None:
    now = [STANDING]
    summary = Summary(lambda: now, 0.0)
    first = summary.lines(3600.0)
    assert first == [
        {
            "account": "a",
            "clusters": 2,
            "up": 1,
            "histories_complete": 1,
            "calls_used": 70,
            "calls_allowed": 1000,
            "syncs": 60,
            "failed_syncs": 3,
            "corrections": 5,
        }
    ]
    now[:] = [replace(STANDING, syncs=121, corrections=6, calls_used=80)]
    second = summary.lines(7200.0)
    assert second == [
        first[0] | {"syncs": 61, "failed_syncs": 0, "corrections": 1, "calls_used": 80}
    ]


def test_clusters_that_are_gone_make_nothing_negative() -> None:
    now = [STANDING]
    summary = Summary(lambda: now, 0.0)
    summary.lines(3600.0)
    now[:] = [replace(STANDING, syncs=10, failed_syncs=0, corrections=0)]
    fields = summary.lines(7200.0)[0]
    assert (fields["syncs"], fields["failed_syncs"], fields["corrections"]) == (0, 0, 0)


def test_each_account_has_its_own() -> None:
    telemetry = Telemetry()
    for name in ("cfd", "fea", "bio"):
        telemetry.register_cluster(name, ("timeout", "server"), ("changed", "missing"))
    for _ in range(4):
        telemetry.sync_succeeded("cfd", 0.1)
    telemetry.sync_failed("fea", "timeout", 1.0)
    telemetry.sync_failed("fea", "server", 1.0)
    telemetry.corrected("cfd", "changed", 2)
    telemetry.corrected("cfd", "missing", 1)
    telemetry.sync_succeeded("bio", 0.1)
    samples = [sample for family in telemetry.families() for sample in family.samples]
    clusters = [
        good_state("cfd"),
        ClusterState(identity("fea")),
        replace(good_state("bio"), identity=identity("bio", "other")),
    ]
    quotas = [
        AccountQuota("default", 1000, 90),
        AccountQuota("other", 10, 1),
        AccountQuota("idle", 5, 0),
    ]
    assert standings(clusters, quotas, samples) == [
        Standing("default", 2, 1, 1, 90, 1000, syncs=6, failed_syncs=2, corrections=3),
        Standing("other", 1, 1, 1, 1, 10, syncs=1, failed_syncs=0, corrections=0),
        Standing("idle", 0, 0, 0, 0, 5, syncs=0, failed_syncs=0, corrections=0),
    ]
