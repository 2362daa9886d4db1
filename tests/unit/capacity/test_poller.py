"""Rounds of asking for capacity, against the simulated cloud; time is simulated."""

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exporter.api.budget import AccountBudget, Demand
from exporter.api.client import AccountClient, Credentials
from exporter.api.lists import ZoneLists
from exporter.capacity import CapacityParts, CapacityPoller, ConfiguredQueue, WatchedCluster
from exporter.capacity.poller import WORD_LIMIT
from exporter.clock import SystemClock
from exporter.errors import Stopped
from exporter.labels import OTHER
from exporter.ledger.spending import MemorySpendingLog
from exporter.model import Amount, ClusterIdentity, Purpose
from exporter.simulator import Account, Cloud, parse_fleet
from exporter.simulator.records import CONTENT_MARK
from exporter.snapshot import Capacity
from exporter.telemetry import Telemetry
from tests.unit.daemon.patients import NOW_AT, ZONE, Wire
from tests.unit.manual_clock import StoppableClock
from tests.waiting import PATIENCE_SECONDS

EHPC, HPC, ELSEWHERE = "ehpc-0", "hpc-1", "ehpc-2"
INTERVAL = 600.0
CALLS = {
    "/api/cluster/list": 2, "/api/cluster/listNodes": 3, "/api/queue/ehpc/getQueueList": 2,
    "/api/queue/getCurrentQueue": 1, "/api/queue/describeQueue": 6,
}  # fmt: skip
"""Of a round over a cloud of three clusters in two zones."""


class World:
    def __init__(
        self, *, allowed: int = 1000, configured: tuple[ConfiguredQueue, ...] = ()
    ) -> None:
        self.clock = StoppableClock(NOW_AT)
        self.cloud = Cloud([Account()])
        for cluster_id, zone in ((EHPC, ZONE), (HPC, ZONE), (ELSEWHERE, "jn1a")):
            hosted = self.cloud.add_cluster(cluster_id, zone=zone)
            hosted.plant.add_queue("gpu", cores=64, gpus=8)
            hosted.plant.add_queue("默认队列", cores=32)
            uuid = hosted.jobs.submit(NOW_AT - 10, queue="gpu", user="u", cores=16)
            hosted.jobs.start(uuid, NOW_AT - 5)
        self.wire = Wire(self.cloud, self.clock)
        self.budget = AccountBudget(
            allowed=allowed, period_seconds=3600.0, clock=self.clock, log=MemorySpendingLog()
        )
        account = Account()
        client = AccountClient(
            account="default",
            endpoint="https://hpc.example",
            credentials=lambda: Credentials(account.access_key_id, account.secret_access_key),
            transport=self.wire,
            gate=self.budget,
            telemetry=Telemetry(),
            clock=self.clock,
            random=random.Random(1),
        )
        self.published: list[tuple[str, Capacity | None]] = []
        self.clusters = [
            WatchedCluster(ClusterIdentity(name, name, hosted.zone, "default"), configured)
            for name, hosted in self.cloud.clusters.items()
        ]
        self.poller = CapacityPoller(
            CapacityParts(
                account="default",
                client=client,
                lists=ZoneLists(client.list_clusters, self.clock),
                budget=self.budget,
                interval_seconds=INTERVAL,
                tried=lambda _: True,
                publish=lambda who, capacity: self.published.append((who.name, capacity)),
                clock=self.clock,  # type: ignore[arg-type]
            ),
            self.clusters,
        )

    def round(self) -> dict[str, Capacity]:
        """What is published last of each cluster by one more round, its wait included."""
        self.published.clear()
        self.clock.advance(self.poller.turn())
        return {name: capacity for name, capacity in self.published if capacity is not None}

    def calls(self) -> Counter[str]:
        """Since this was last asked, by path."""
        counted = Counter(entry.path for entry in self.cloud.journal)
        self.cloud.journal.clear()
        return counted


def by_name(capacity: Capacity) -> dict[str, Any]:
    return {queue.names[0]: queue for queue in capacity.queues}


@pytest.mark.parametrize("fleet", ["documented", "texts", "strict"])
def test_a_round(fleet: str) -> None:
    world = World()
    world.cloud.fleet = parse_fleet(fleet)
    world.cloud.clusters[HPC].plant.status = "stopped"
    capacities = world.round()
    assert list(capacities) == [EHPC, HPC, ELSEWHERE]
    assert world.calls() == CALLS
    for name, capacity in capacities.items():
        gpu = by_name(capacity)["gpu"]
        assert gpu.cores == Amount(64.0, 48.0)
        assert gpu.gpus == Amount(8.0, 6.0)
        assert capacity.status == ("stopped" if name == HPC else "active")
        assert capacity.listed_jobs["running"] == 1
        assert capacity.core_hours == 446.25
        assert capacity.taken is not None
        assert 0 <= world.clock.now - capacity.taken.at <= INTERVAL + 5
        assert CONTENT_MARK not in repr(capacity)
    assert capacities[EHPC].nodes == {
        ("login", "active"): 1, ("controller", "active"): 1, ("compute", "active"): 3,
    }  # fmt: skip
    assert by_name(capacities[EHPC])["gpu"].nodes == {"active": 2}
    assert world.clock.now == pytest.approx(NOW_AT + INTERVAL)


def test_what_the_table_of_the_documentation_says_is_found_out_once() -> None:
    world = World()
    world.cloud.fleet = parse_fleet("by-the-table,owner=optional")
    for _ in range(2):
        capacities = world.round()
        assert {by_name(each)["gpu"].cores for each in capacities.values()} == {Amount(64.0, 48.0)}
        first = world.calls() - Counter(CALLS)
    assert not first


FORBIDDEN = {
    "queues": lambda capacity: not capacity.queues and capacity.nodes and capacity.status,
    "queue": lambda capacity: by_name(capacity)["gpu"].cores == Amount(64.0) and capacity.nodes,
    "nodes": lambda capacity: not capacity.nodes and by_name(capacity)["gpu"].cores.available,
    "clusters": lambda capacity: not capacity.status and capacity.nodes and capacity.queues,
}


@pytest.mark.parametrize("word", FORBIDDEN)
def test_what_may_not_be_asked_is_asked_once_and_said_once(
    word: str, caplog: pytest.LogCaptureFixture
) -> None:
    right: Callable[[Capacity], Any] = FORBIDDEN[word]
    world = World()
    world.cloud.fleet = parse_fleet(f"forbidden={word}")
    with caplog.at_level(logging.WARNING):
        assert all(map(right, world.round().values()))
        refused = [entry for entry in world.cloud.journal if entry.outcome == "1400"]
        assert len(refused) == (2 if word == "clusters" else 3)
        world.calls()
        world.cloud.fleet = parse_fleet("documented")
        assert all(map(right, world.round().values()))
    lines = [record for record in caplog.records if "asked no more" in record.message]
    assert len(lines) == len(refused)
    assert {record.__dict__["reason"] for record in lines} == {"denied"}
    assert sum(world.calls().values()) < sum(CALLS.values())


def test_a_list_that_others_ask_for_is_used_though_it_is_asked_for_here_no_more() -> None:
    """The account has been allowed it meanwhile: discovery and change detectors ask again and again."""
    world = World()
    world.cloud.fleet = parse_fleet("forbidden=clusters")
    world.round()
    world.cloud.fleet = parse_fleet("documented")
    world.poller._parts.lists.get(ZONE)
    world.calls()
    shown = world.round()
    assert {name: each.status for name, each in shown.items()} == {
        EHPC: "active", HPC: "active", ELSEWHERE: "",
    }  # fmt: skip
    assert "/api/cluster/list" not in world.calls()


def test_a_cloud_that_wants_an_owner_who_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.cloud.fleet = parse_fleet("owner=required")
    capacities = world.round()
    assert {(each.status, len(each.queues)) for each in capacities.values()} == {("", 2)}
    (first, _) = (record for record in caplog.records if "tried again" in record.message)
    assert "user_id" in first.__dict__["advice"]


def test_wrong_keys_are_not_taken_for_an_owner_who_is_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.cloud.faults.add("ret-1200")
    world.round()
    first = next(record for record in caplog.records if record.__dict__["call"] == "cluster/list")
    assert first.__dict__["reason"] == "authentication"
    assert "secret access key" in first.__dict__["advice"]


def test_a_call_that_is_not_known_is_tried_again_rarely(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.round()
    rule = world.cloud.faults.add("http-404", cluster_id=EHPC)
    assert not world.round()[EHPC].nodes
    world.calls()
    for _ in range(5):
        assert not world.round()[EHPC].nodes
    assert not [entry for entry in world.cloud.journal if entry.cluster_id == EHPC]
    world.cloud.faults.rules.remove(rule)
    assert [bool(world.round()[EHPC].nodes) for _ in range(2)][-1]
    lines = [each for each in caplog.records if "tried again in an hour" in each.message]
    assert {each.__dict__["call"] for each in lines} == {"queues", "nodes"}
    assert all("capacity_interval: off" in each.__dict__["advice"] for each in lines)


def test_a_gateway_that_fails_for_one_call_hides_nothing_else() -> None:
    world = World()
    world.cloud.faults.add("http-502", cluster_id="")
    capacities = world.round()
    assert [(each.status, bool(each.queues)) for each in capacities.values()] == [("", True)] * 3


def test_a_refusal_for_the_state_of_a_cluster_is_not_for_good() -> None:
    world = World()
    world.cloud.clusters[EHPC].plant.status = "stopped"
    world.cloud.fleet = parse_fleet("forbidden=queues")
    assert not world.round()[EHPC].queues
    world.cloud.fleet = parse_fleet("documented")
    world.cloud.clusters[EHPC].plant.status = "active"
    capacities = world.round()
    assert [bool(each.queues) for each in capacities.values()] == [True, False, False]


def test_a_deleted_cluster_is_warned_of_by_its_syncs_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.round()
    world.cloud.remove_cluster(EHPC)
    with caplog.at_level(logging.INFO):
        world.round()
    told = [(r.levelno, r.__dict__["call"]) for r in caplog.records]
    assert told == [(logging.INFO, "queues"), (logging.INFO, "nodes")]


def test_a_part_that_fails_stands_until_it_is_too_old(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    first = world.round()[EHPC]
    world.cloud.faults.add("ret-5000", cluster_id=EHPC)
    second = world.round()[EHPC]
    assert (second.queues, second.nodes) == (first.queues, first.nodes)
    assert first.taken is not None
    assert second.taken is not None
    assert second.taken.at == pytest.approx(first.taken.at, abs=2)
    while (later := world.round()[EHPC]).queues:
        assert world.clock.now < NOW_AT + 3 * INTERVAL + 2 * INTERVAL
    assert (later.status, later.nodes) == ("active", {})
    assert later.taken is not None
    assert later.taken.at > second.taken.at + INTERVAL
    failures = [r for r in caplog.records if r.message == "capacity could not be queried"]
    calls = [record.__dict__["call"] for record in failures]
    assert sorted(calls) == ["describeQueue", "nodes", "queues"], "each once an hour"
    world.cloud.faults.rules.clear()
    assert world.round()[EHPC].queues == first.queues


def test_statuses_that_are_free_text_do_not_add_series_without_end() -> None:
    """Such as ``down since 10:03``: each would be a series of its own, for as long as the database keeps it."""
    world = World()
    plant = world.cloud.clusters[EHPC].plant
    shown = set()
    for turn in range(WORD_LIMIT + 5):
        plant.status = f"updating, {turn} %"
        for queue in plant.queues.values():
            for node in queue.nodes:
                node.status = f"down for {turn} s"
        capacity = world.round()[EHPC]
        shown |= {capacity.status, *(status for _, status in capacity.nodes)}
        shown |= {status for each in capacity.queues for status in each.nodes}
    assert len(shown) <= WORD_LIMIT + 1
    assert capacity.status == OTHER
    assert sum(capacity.nodes.values()) == len(plant.nodes)
    plant.status = "active"
    assert world.round()[EHPC].status == "active"


def test_a_queue_that_has_gone_meanwhile_keeps_none_of_the_others() -> None:
    world = World()
    world.cloud.faults.add("ret-2100", cluster_id=EHPC, skip=1, next_calls=1)
    queues = by_name(world.round()[EHPC])
    assert queues["gpu"].cores == Amount(64.0)
    assert queues["默认队列"].cores == Amount(32.0, 32.0)


def test_a_cloud_that_cannot_be_reached_is_not_asked_for_all_clusters() -> None:
    world = World()
    before = world.round()
    world.calls()
    world.cloud.faults.add("http-502")
    assert world.round() == before
    asked = {entry.cluster_id for entry in world.cloud.journal}
    assert asked == {"", EHPC, ELSEWHERE}, "the first of each zone"


def test_a_cluster_that_has_gone_and_one_that_is_not_listed() -> None:
    world = World()
    world.cloud.remove_cluster(EHPC)
    capacities = world.round()
    assert list(capacities) == [HPC, ELSEWHERE]
    assert dict(world.published)[EHPC] is None


def test_what_the_configuration_says_stands_in_for_the_cloud() -> None:
    world = World(configured=(ConfiguredQueue("gpu", 512, None), ConfiguredQueue("old", 4, 1)))
    world.cloud.fleet = parse_fleet("no-capacity")
    queues = by_name(world.round()[EHPC])
    assert (queues["gpu"].cores, queues["old"].cores) == (Amount(512.0), Amount(4.0))
    assert queues["默认队列"].cores == Amount()


def test_it_comes_after_everything_else_in_the_budget() -> None:
    world = World(allowed=60)
    world.budget.declare("jobs", Demand(3600 / 40, 1, audits_per_second=10 / 3600))
    capacities = world.round()
    assert len(capacities) == 3
    assert world.clock.now - NOW_AT > 3600 / 3, "14 calls, of 10 that are left in an hour"
    served = [each.served_seconds for each in world.round().values()]
    assert min(served) > 3 * 3600 / 3
    assert world.budget.used() <= 10


def test_the_budget_knows_what_is_wanted() -> None:
    world = World(allowed=1000)
    world.budget.declare("jobs", Demand(3600.0, 1, history=100))
    before = world.budget.left(Purpose.HISTORY)
    world.round()
    wanted = round(3600 / INTERVAL * sum(CALLS.values()))
    assert before - world.budget.left(Purpose.HISTORY) == wanted


def test_a_pause_of_the_account_is_waited_for() -> None:
    world = World()
    world.cloud.faults.add("ret-2500", next_calls=1)
    capacities = world.round()
    assert {len(each.queues) for each in capacities.values()} == {2}
    assert world.clock.now >= NOW_AT + 300


def test_one_that_is_told_to_stop_publishes_no_more() -> None:
    world = World()
    world.clock.stop_at = NOW_AT + 0.35
    with pytest.raises(Stopped):
        world.poller.turn()
    assert world.published == []
    assert sum(world.calls().values()) < sum(CALLS.values())


def test_clusters_come_and_go_between_two_rounds() -> None:
    world = World()
    world.poller.watch(world.clusters[:1])
    assert list(world.round()) == [EHPC]
    assert world.calls()["/api/cluster/list"] == 1
    world.poller.watch(world.clusters[1:])
    assert list(world.round()) == [HPC, ELSEWHERE]
    world.poller.watch([])
    assert world.round() == {}
    assert not world.poller._told


def test_what_comes_between_two_rounds_is_asked_about_at_once_and_nothing_else() -> None:
    world = World()
    world.round()
    world.calls()
    first, *others = world.clusters
    renamed = replace(first, identity=replace(first.identity, name="cfd"))
    hosted = world.cloud.add_cluster("ehpc-new", zone=ZONE)
    hosted.plant.add_queue("gpu", cores=128)
    come = WatchedCluster(ClusterIdentity("ehpc-new", "ehpc-new", ZONE, "default"))
    world.poller.watch([renamed, *others, come])
    world.published.clear()
    world.poller.catch_up()
    cores = {name: by_name(each)["gpu"].cores.total for name, each in world.published if each}
    assert cores == {"cfd": 64.0, "ehpc-new": 128.0}
    assert {entry.cluster_id for entry in world.cloud.journal} <= {"", EHPC, "ehpc-new"}
    world.published.clear()
    world.poller.catch_up()
    assert not world.published


def test_a_name_that_goes_to_another_cluster_says_nothing_of_the_one_before() -> None:
    """Neither what was told of it, should nothing be told of the new one, nor what may not be asked."""
    world = World()
    world.cloud.fleet = parse_fleet("forbidden=nodes")
    first, second, _ = world.clusters
    world.poller.watch([first])
    assert by_name(world.round()[EHPC])
    world.cloud.fleet = parse_fleet("documented")
    renamed = replace(second.identity, name=EHPC)
    world.poller.watch([replace(second, identity=renamed)])
    world.calls()
    assert world.round()[EHPC].nodes
    world.cloud.faults.add("http-502")
    world.poller.watch([first])
    world.round()
    assert [capacity for _, capacity in world.published] == [None]


def test_its_thread_waits_until_jobs_were_asked_for_and_ends_when_told() -> None:
    world = World()
    asked, published = threading.Event(), threading.Event()
    tries = iter([False, *[True] * 3])

    def tried(_: str) -> bool:
        asked.set()
        return next(tries)

    clock = SystemClock()
    parts = world.poller._parts
    poller = CapacityPoller(
        replace(
            parts,
            tried=tried,
            publish=lambda who, _: published.set() if who.name == ELSEWHERE else None,
            clock=clock,
        ),
        world.clusters,
    )
    assert poller.health() == "the poller of capacity of account default has died"
    poller.start()
    assert published.wait(PATIENCE_SECONDS)
    assert asked.is_set()
    assert next(tries, None) is None
    assert poller.health() is None
    poller.stop()
    assert poller.join(PATIENCE_SECONDS)
    assert poller.health() is not None


def test_its_thread_does_not_sleep_when_a_cluster_comes() -> None:
    world = World()
    *others, last = world.clusters
    published = {each.identity.name: threading.Event() for each in world.clusters}
    parts = replace(
        world.poller._parts,
        publish=lambda who, _: published[who.name].set(),
        clock=SystemClock(),
    )
    poller = CapacityPoller(parts, others)
    poller.start()
    assert all(published[each.identity.name].wait(PATIENCE_SECONDS) for each in others)
    poller.watch([*others, last])
    assert published[last.identity.name].wait(PATIENCE_SECONDS)
    poller.stop()
    assert poller.join(PATIENCE_SECONDS)


def test_what_is_configured_is_shown_while_nothing_can_be_asked() -> None:
    world = World(configured=(ConfiguredQueue("gpu", 512, None),))
    world.cloud.faults.add("http-502")
    shown = world.round()
    assert list(shown) == [EHPC, HPC, ELSEWHERE]
    assert all(by_name(each)["gpu"].cores == Amount(512.0) for each in shown.values())
