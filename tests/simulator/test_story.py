"""The demonstration's story: what it promises happens within a minute, and again."""

import argparse
from collections.abc import Callable

import pytest

from exporter.simulator import story
from exporter.simulator.command import add_arguments, build_simulation
from exporter.simulator.simulation import Simulation

NOW_AT = 1_790_000_000.0
MADE_AT = NOW_AT + 13
"""When the past has been made up, and the guide is printed."""
Count = Callable[[str, str, str], int]
ANY = ("pending", "running", "finished")


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return build_simulation(parser.parse_args(["--pace=20", "--story"]), NOW_AT, lambda: MADE_AT)


def test_within_a_minute_and_again(simulation: Simulation) -> None:
    def jobs(cluster_id: str, queue: str, *statuses: str, user: str = "") -> int:
        counts = simulation.cloud.clusters[cluster_id].jobs.counts()
        return sum(
            number
            for key, number in counts.items()
            if key.queue == queue and key.status in statuses and user in ("", key.user)
        )

    def at(seconds: float) -> tuple[int, int, int, bool]:
        simulation.advance(MADE_AT + seconds)
        return (
            jobs(story.BACKLOG_CLUSTER, story.BACKLOG_QUEUE, "pending"),
            jobs(story.EMPTY_CLUSTER, story.EMPTY_QUEUE, "pending", "running"),
            jobs(story.FLOOD_CLUSTER, story.FLOOD_QUEUE, "pending", user=story.FLOOD_USER),
            bool(simulation.cloud.faults.rules),
        )

    assert simulation.world
    for begin in (0, story.PERIOD_SECONDS):
        # Whatever else there is in the queue that runs empty.
        simulation.world.submit_backlog(story.EMPTY_CLUSTER, queue=story.EMPTY_QUEUE, jobs=2)
        backlog, busy, flood, failing = at(begin)
        assert (backlog < 5, busy >= 30, flood < 5, failing) == (True, True, True, False)
        failing_jobs = []
        # Tried again 5 and 15 s after its first failure, it is seen to fail for at least 15 s.
        for second, failing in ((24, False), (26, True), (44, True), (46, False)):
            assert at(begin + second)[3] is failing
            failing_jobs.append(
                jobs(story.FAILING_CLUSTER, story.FAILING_QUEUE, *ANY, user=story.FLOOD_USER)
            )
        assert failing_jobs[1] - failing_jobs[0] >= 5, "else the exporter has nothing to ask for"
        backlog, busy, flood, failing = at(begin + 60)
        assert (backlog > 50, busy, flood > 300, failing) == (True, 0, True, False)
        backlog, _, flood, _ = at(begin + 245)
        assert (backlog < 20, flood < 5) == (True, True)


def test_where_a_cluster_of_the_story_is_not_there_the_rest_happens() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    simulation = build_simulation(parser.parse_args(["--clusters=1", "--story"]), NOW_AT)
    simulation.advance(NOW_AT + 35)
    assert simulation.cloud.faults.rules == []
