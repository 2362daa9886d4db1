"""A server that becomes another one while the program runs: it is found out anew, and back again."""

from contextlib import suppress
from dataclasses import replace

import pytest

from exporter.errors import RefusedError, SyncError
from exporter.simulator import DEPLOYMENTS, DIALECTS, DOCUMENTED, Dialect
from tests.unit.sync.settled import Traffic, rest_for_one_audit_interval, settled


class TestAnotherServer:
    """The cluster's dialect changes while the program runs: it falls back, and comes back."""

    @pytest.mark.parametrize(
        ("there", "strategies"),
        [
            ("sort-ignored", {"sweep", "scan"}),
            ("sort-refused", {"sweep", "scan"}),
            ("nothing-honoured", {"sweep", "scan"}),
            ("filters-ignored", {"delta"}),
            ("sort-ignored-total-whole", {"sweep", "scan"}),
            ("reverse-ignored", {"sweep", "scan"}),
        ],
    )
    def test_there_and_back(self, there: str, strategies: set[str]) -> None:
        cluster = settled(600)
        traffic = Traffic(cluster)
        assert cluster.turn().strategy == "delta"
        cluster.cluster.speak(DIALECTS[there])
        used = set()
        for _ in range(4):
            traffic.pass_by(5)
            with suppress(SyncError):
                used.add(cluster.turn().strategy)
        assert used <= strategies
        rest_for_one_audit_interval(cluster, doubts=1)
        assert cluster.counted() == cluster.true_counts()
        cluster.cluster.speak(DOCUMENTED)
        for _ in range(70):
            traffic.pass_by(5)
            with suppress(SyncError):
                if cluster.turn().strategy == "delta":
                    break
        rest_for_one_audit_interval(cluster, doubts=1)
        assert cluster.turn().strategy == "delta"
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize(
        "there",
        [
            replace(DIALECTS["sort-refused"], unknown_sort_key="5000"),
            replace(DEPLOYMENTS["job-status-strict"], unknown_param="problem-500"),
        ],
    )
    def test_one_that_fails_at_what_it_does_not_know_is_found_out(self, there: Dialect) -> None:
        """It takes longer: any server may be in trouble for a while."""
        cluster = settled(600)
        cluster.cluster.speak(there)
        cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        for _ in range(25):
            with suppress(SyncError, RefusedError):
                cluster.turn()
        rest_for_one_audit_interval(cluster)
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("there", sorted(DIALECTS))
    def test_counts_are_right_whatever_it_speaks_now(self, there: str) -> None:
        cluster = settled(600)
        cluster.cluster.speak(DIALECTS[there])
        cluster.jobs.still_transitions = DIALECTS[there].still_transitions
        Traffic(cluster).turns(3, 5)
        rest_for_one_audit_interval(cluster, doubts=2)
        if DIALECTS[there].zone_offset_seconds:
            rest_for_one_audit_interval(cluster)  # every job seems to have changed
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("name", ["documented", "total-whole", "total-missing"])
    def test_pages_that_become_shorter_do_not_end_the_list(self, name: str) -> None:
        cluster = settled(603, name)
        rest_for_one_audit_interval(cluster)
        cluster.cluster.speak(replace(DIALECTS[name], page_cap=50))
        rest_for_one_audit_interval(cluster, doubts=1)
        assert cluster.counted() == cluster.true_counts()
