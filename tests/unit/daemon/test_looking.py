"""A look reads the whole list of a cluster as the daemon would, whatever the server does."""

import pytest

from exporter.daemon.looking import CONTACT_CALLS, Look, Seen
from exporter.model import JobListQuery, Page
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher
from tests.unit.api.budgets import budget_of
from tests.unit.manual_clock import ManualClock
from tests.unit.sync.settled import (
    SERVERS,
    counting_something_else,
    fresh,
    newest_change_first,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster


class Calls:
    """Those of a simulated cluster, as an account makes them."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster

    def begin_sync(self) -> None:
        """Nothing to do."""

    def list_jobs(self, query: JobListQuery) -> Page:
        return self._cluster.list_jobs(query)


def look_at(cluster: SimulatedCluster) -> Seen:
    clock = ManualClock(START_AT)
    look = Look(
        Calls(cluster),  # type: ignore[arg-type]
        settings=cluster.settings,
        publisher=Publisher(LabelRules()),
        budget=budget_of(100_000, clock),
        clock=clock,
        progressing=lambda *_: None,
    )
    return look.whole(cluster.ledger)


@pytest.mark.parametrize("server", SERVERS)
def test_the_whole_list_whatever_the_server_does(server: str) -> None:
    cluster = fresh(1_403, SERVERS[server])
    seen = look_at(cluster)
    assert cluster.counted() == cluster.true_counts()
    assert seen.snapshot is not None
    assert seen.snapshot.history_complete
    assert cluster.calls <= 2 * CONTACT_CALLS + 1_403 // (SERVERS[server].page_cap - 1)


@pytest.mark.parametrize("count", [60, 503])
def test_also_if_the_total_is_another_lists(count: int) -> None:
    cluster = counting_something_else("documented", 37, count)
    look_at(cluster)
    assert cluster.counted() == cluster.true_counts()


def test_of_a_list_that_moves_every_job_is_met() -> None:
    """While it is read, jobs are submitted, start and end, and some are deleted that were met."""
    cluster = fresh(1_400, SERVERS["small-pages"])
    before = {job.uuid for job in cluster.jobs.jobs()}
    doomed = newest_change_first(cluster.jobs)[:30]

    def something_happens() -> None:
        cluster.now_at += 1
        uuid = cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        cluster.jobs.start(uuid, cluster.now_at)
        if doomed and cluster.calls % 3 == 0:
            cluster.jobs.delete([doomed.pop()])

    cluster.between_calls = something_happens
    look_at(cluster)
    stayed = before & {job.uuid for job in cluster.jobs.jobs()}
    assert cluster.ledger.known(stayed).keys() == stayed
    assert cluster.calls <= 2 * CONTACT_CALLS + 2 * 1_400 / 19
