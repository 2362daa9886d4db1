"""The answers to scrapes: ready, right, and never late."""

import dataclasses
import gc
import gzip
import re
import threading
import weakref
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter import collector
from exporter.clock import instant
from exporter.collector import AccountQuota, BuildInfo, ReloadStatus
from exporter.samples import format_value
from exporter.snapshot import ClusterState, Grouped, JobCount, SnapshotBoard, Usage, dated
from exporter.telemetry import Telemetry
from exporter.web import packing
from exporter.web.exposition import ExporterFacts, Exposition, ProcessFamilies
from exporter.web.negotiation import Format
from tests.unit.board_states import NOON_AT, capacity, good_state, hostile_state, new_state
from tests.unit.manual_clock import ManualClock
from tests.waiting import PATIENCE_SECONDS, until

GOLDEN = Path(__file__).parents[2] / "golden"


class World:
    """An exposition and everything that it looks at."""

    def __init__(self) -> None:
        self.board = SnapshotBoard()
        self.telemetry = Telemetry()
        self.clock = ManualClock(NOON_AT + 10)
        self.used = 12
        self.process_looks = 0
        facts = ExporterFacts(
            BuildInfo("1.2.3", "abc", "3.11.2"),
            reload=lambda: ReloadStatus(successful=True, success_at=NOON_AT - 100),
            quotas=lambda: [AccountQuota("default", 1000, self.used, on_disk=True)],
        )
        self.exposition = Exposition(
            self.board, self.telemetry, self.clock, facts, self._process_families
        )

    def _process_families(self) -> list[Family]:
        self.process_looks += 1
        return [GaugeMetricFamily("process_x", "How often it was asked.", self.process_looks)]

    def text(self) -> str:
        return self.exposition.scrape(Format.TEXT, compressed=False).decode()

    def collect(self) -> Iterator[Family]:
        """The same by the slow and simple way, as a registry for prometheus-client."""
        yield from collector.collect(
            self.board.current(), [], BuildInfo("", "", ""), ReloadStatus(True, 0),  # noqa: FBT003
            now=instant(self.clock),
        )[: len(collector.CLUSTER_METRICS)]  # fmt: skip
        yield from self.telemetry.families()
        yield from collector.exporter_families(
            [AccountQuota("default", 1000, self.used, on_disk=True)],
            BuildInfo("1.2.3", "abc", "3.11.2"),
            ReloadStatus(successful=True, success_at=NOON_AT - 100),
        )
        yield GaugeMetricFamily("process_x", "How often it was asked.", self.process_looks)


@pytest.fixture
def world() -> World:
    world = World()
    world.telemetry.register_account("default", ["busy", "timeout"])
    for state in (new_state(), good_state(), hostile_state()):
        world.telemetry.register_cluster(state.identity.name)
        world.board.publish(state)
    world.telemetry.sync_succeeded("cfd", 0.3)
    world.telemetry.sync_failed("new", "authentication", 0.1)
    world.telemetry.corrected("cfd", "deleted", 2)
    world.telemetry.api_call_sent("default")
    world.telemetry.api_call_took("default", 0.25)
    world.telemetry.api_call_failed("default", "busy")
    world.exposition.refresh()
    return world


def test_an_empty_board_is_served(world: World) -> None:
    text = World().text()
    assert "# TYPE ehpc_jobs gauge\n" in text
    assert "ehpc_jobs{" not in text


@pytest.mark.parametrize(
    ("wanted", "name"), [(Format.TEXT, "metrics.prom"), (Format.OPENMETRICS, "openmetrics.prom")]
)
def test_golden(world: World, wanted: Format, name: str) -> None:
    """The whole answer, byte for byte. To renew: delete the file and run the test twice."""
    body = world.exposition.scrape(wanted, compressed=False)
    golden = GOLDEN / name
    if not golden.exists():
        golden.write_bytes(body)
        pytest.fail(f"{name} was missing and has been written: look it through and commit it")
    assert body.decode() == golden.read_bytes().decode()


def test_families_by_name(world: World) -> None:
    whole = world.text()
    blocks = {
        block.split()[2]: block for block in re.split("^(?=# HELP )", whole, flags=re.MULTILINE)[1:]
    }
    assert len(blocks) > 30

    def asked(*names: str, wanted: Format = Format.TEXT) -> str:
        plain, packed = (
            world.exposition.scrape(wanted, compressed=compressed, names=frozenset(names))
            for compressed in (False, True)
        )
        assert gzip.decompress(packed) == plain
        return plain.decode()

    for name, block in blocks.items():  # a counter has _total here, which its family has not
        assert asked(name) == asked(name.removesuffix("_total")) == block
    waits = blocks["ehpc_job_wait_seconds"]
    assert asked("ehpc_job_wait_seconds_bucket", "ehpc_up") == waits + blocks["ehpc_up"]
    assert asked("ehpc_jobs_total", "nothing") == ""
    assert asked("ehpc_up", wanted=Format.OPENMETRICS).endswith("\n# EOF\n")
    assert asked("x", wanted=Format.OPENMETRICS) == "# EOF\n"
    assert world.text() == whole


def test_it_is_what_prometheus_client_would_write(world: World) -> None:
    text = world.exposition.scrape(Format.TEXT, compressed=False)
    assert text == generate_latest(world)
    openmetrics = world.exposition.scrape(Format.OPENMETRICS, compressed=False)
    assert openmetrics == generate_openmetrics(world)


@pytest.mark.parametrize("wanted", Format)
def test_compressed_is_the_same(world: World, wanted: Format) -> None:
    plain = world.exposition.scrape(wanted, compressed=False)
    for several in (True, False):
        packed = world.exposition.scrape(wanted, compressed=True, several=several)
        assert gzip.decompress(packed) == plain
        assert len(packed) < len(plain) / 3


def test_who_reads_one_member_reads_all(world: World) -> None:
    world.board.publish(many_jobs("cfd", 2000, NOON_AT))
    world.exposition.refresh()
    text = world.exposition.scrape(Format.TEXT, compressed=False)
    packed = world.exposition.scrape(Format.TEXT, compressed=True)
    reader = zlib.decompressobj(wbits=31)
    assert reader.decompress(packed) == text
    assert reader.eof
    assert not reader.unused_data
    several = world.exposition.scrape(Format.TEXT, compressed=True, several=True)
    assert zlib.decompressobj(wbits=31).decompress(several) != text


def kept_bytes(exposition: Exposition) -> int:
    """The size of all texts that it keeps."""
    found: dict[int, object] = {}
    to_see: list[object] = [
        exposition._published, exposition._counted, exposition._answers, exposition._families,
    ]  # fmt: skip
    while to_see:
        each = to_see.pop()
        if id(each) not in found and not isinstance(each, type):
            found[id(each)] = each
            to_see += gc.get_referents(each)
    return sum(len(each) for each in found.values() if isinstance(each, bytes))


def test_what_many_clusters_show_is_kept_twice_and_no_more(world: World) -> None:
    """As pieces, of which few are made anew, and whole. It was six times, of each of three hundred clusters."""
    for number in range(3 * packing.LINES_TOGETHER):
        world.board.publish(many_jobs(f"c{number}", 500, NOON_AT))
    world.exposition.refresh()
    size = len(world.exposition.scrape(Format.TEXT, compressed=True, several=True))
    world.board.publish(many_jobs("c0", 501, NOON_AT))
    world.exposition.refresh()
    assert kept_bytes(world.exposition) < 2.5 * size
    for number in range(3 * packing.LINES_TOGETHER):  # the same jobs at another moment
        world.board.publish(many_jobs(f"c{number}", 500, NOON_AT + 1))
    world.exposition.refresh()
    assert kept_bytes(world.exposition) < 2.5 * size


class Column(list[object]):
    """Tells when it is gone, which a tuple cannot."""


def test_rows_that_were_made_anew_and_are_as_they_were_are_not_kept_twice(world: World) -> None:
    """A sync that fails, or names that change, let all rows be made anew."""
    state = good_state("cfd")
    assert state.snapshot is not None
    seen = []
    for _ in range(2):
        users = Column(["alice", "bob"])
        counts = Grouped(JobCount, {("pending", "gpu"): (users, Column([1, 2]), Column([3, 4]))})
        world.board.publish(
            dataclasses.replace(state, snapshot=dataclasses.replace(state.snapshot, counts=counts))
        )
        world.exposition.refresh()
        seen.append(weakref.ref(users))
    del users, counts
    assert seen[0]() is None
    assert seen[1]() is not None


NAMES = st.sampled_from(["a", "b", "cfd", 'o"dd'])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), NAMES, st.integers(0, 300)),
        st.tuples(st.just("capacity"), NAMES, st.integers(0, 1)),
        st.tuples(st.just("remove"), NAMES, st.just(0)),
        st.tuples(st.just("succeed"), NAMES, st.integers(0, 3)),
        st.tuples(st.just("fail"), NAMES, st.integers(0, 3)),
        st.tuples(st.just("wait"), st.just(""), st.integers(0, 400)),
        st.tuples(st.just("scrape"), st.just(""), st.just(0)),
    ),
    max_size=30,
)


def many_jobs(name: str, jobs: int, taken_at: float) -> ClusterState:
    """So many that some families are long, and others of the same cluster are not."""
    state = good_state(name, taken_at=taken_at)
    assert state.snapshot is not None
    counts = tuple(
        JobCount(status, f"queue-{n % 7}", f"user-{n}", n * jobs % 5, n)
        for n in range(jobs)
        for status in ("pending", "running")
    )
    used = sorted(Usage(f"queue-{n % 7}", f"user-{n}", n, n * jobs % 5) for n in range(jobs))
    snapshot = dataclasses.replace(
        state.snapshot, counts=counts, core_seconds=tuple(used), user_waits=tuple(used)
    )
    return dataclasses.replace(state, snapshot=snapshot)


@patch.object(packing, "LINES_TOGETHER", 2)  # fewer than there are names
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_it_is_what_is_rendered_from_nothing(
    steps: list[tuple[str, str, int]],
) -> None:
    world = World()
    for step, name, number in [*steps, ("scrape", "", 0)]:
        if step == "publish":
            world.board.publish(many_jobs(name, number, world.clock.now_at() - number))
        elif step == "capacity":
            now = instant(world.clock)
            told = dataclasses.replace(capacity(), taken=now, served_seconds=100.0)
            world.board.publish_capacity(good_state(name).identity, told if number else None)
        elif step == "remove":
            world.board.remove(name)
            world.telemetry.forget_cluster(name)
        elif step == "succeed":
            world.telemetry.register_cluster(name, ["timeout"])
            world.telemetry.sync_succeeded(name, number)
        elif step == "fail":
            world.telemetry.sync_failed(name, f"reason {number}", number)
        elif step == "wait":
            world.clock.advance(number)
        else:
            text = world.exposition.scrape(Format.TEXT, compressed=False)
            assert text == generate_latest(world)
            packed = world.exposition.scrape(Format.TEXT, compressed=True, several=True)
            assert gzip.decompress(packed) == text
            openmetrics = world.exposition.scrape(Format.OPENMETRICS, compressed=True, several=True)
            assert gzip.decompress(openmetrics) == generate_openmetrics(world)
        if step in {"publish", "capacity", "remove"}:
            world.exposition.refresh()


def test_a_publication_shows_at_once(world: World) -> None:
    world.text()
    world.board.publish(dataclasses.replace(good_state(), tried=False))
    assert 'ehpc_up{cluster_name="cfd"} 1.0' in world.text()
    world.exposition.refresh()
    assert 'ehpc_up{cluster_name="cfd"} 0.0' in world.text()


def test_a_removed_cluster_goes(world: World) -> None:
    world.board.remove("cfd")
    world.telemetry.forget_cluster("cfd")
    world.exposition.refresh()
    assert 'cluster_name="cfd"' not in world.text()
    assert 'cluster_name="new"' in world.text()


def test_what_is_counted_shows_at_once(world: World) -> None:
    world.text()
    world.telemetry.sync_succeeded("cfd", 0.3)
    world.used = 13
    assert 'ehpc_syncs_total{cluster_name="cfd"} 2.0' in world.text()
    assert 'ehpc_api_quota_used{account="default"} 13.0' in world.text()


def test_the_process_is_looked_at_once_a_second_at_most(world: World) -> None:
    world.text()
    looks = world.process_looks
    for _ in range(5):
        world.telemetry.sync_succeeded("cfd", 0.3)
        world.text()
    assert world.process_looks == looks
    world.clock.advance(1.0)
    assert f"process_x {looks + 1}.0" in world.text()


def test_nothing_is_rendered_for_a_scrape_where_nothing_changed(world: World) -> None:
    first = world.exposition.scrape(Format.TEXT, compressed=True)
    assert world.exposition.scrape(Format.TEXT, compressed=True) is first


def test_stale_job_gauges_go_by_themselves_and_come_back(world: World) -> None:
    assert 'ehpc_jobs{cluster_name="cfd"' in world.text()
    world.clock.advance(295)
    text = world.text()
    for line in text.splitlines():
        assert not line.startswith(tuple(f"{name}{{" for name in collector.JOB_GAUGES))
    assert 'ehpc_up{cluster_name="cfd"} 1.0' in text
    assert 'ehpc_jobs_ended_total{cluster_name="cfd",queue="vis",status="exited"} 2.0' in text
    assert text.encode() == generate_latest(world)
    world.board.publish(good_state(taken_at=world.clock.now_at()))
    world.exposition.refresh()
    assert 'ehpc_jobs{cluster_name="cfd"' in world.text()


def test_old_capacity_goes_by_itself_while_counts_stay(world: World) -> None:
    at = world.clock.now_at()
    told = dataclasses.replace(capacity(), taken=instant(world.clock), served_seconds=100.0)
    world.board.publish(good_state(taken_at=at))
    world.board.publish_capacity(good_state().identity, told)
    world.exposition.refresh()
    world.clock.advance(100)
    assert 'ehpc_queue_cores{cluster_name="cfd"' in world.text()
    world.clock.advance(0.1)
    text = world.text()
    assert 'ehpc_queue_cores{cluster_name="cfd"' not in text
    assert 'ehpc_capacity_timestamp_seconds{cluster_name="cfd"' in text
    assert 'ehpc_jobs{cluster_name="cfd"' in text
    assert text.encode() == generate_latest(world)


@pytest.mark.parametrize(
    ("wanted", "interval", "served"),
    [(None, 60, 300), (None, 101, 303), (None, 0, 300), (5, 60, 5), (900, 600, 900)],
)
def test_how_long_counts_are_served(
    world: World, wanted: float | None, interval: float, served: float
) -> None:
    state = dataclasses.replace(
        good_state(taken_at=world.clock.now),
        staleness_wanted_seconds=wanted,
        effective_interval_seconds=interval,
    )
    world.board.publish(state)
    world.exposition.refresh()
    world.clock.advance(served)
    assert 'ehpc_jobs{cluster_name="cfd"' in world.text()
    world.clock.advance(0.1)
    assert 'ehpc_jobs{cluster_name="cfd"' not in world.text()


def test_a_clock_that_is_put_right_is_noticed(world: World) -> None:
    world.clock.now += 400
    assert 'ehpc_jobs{cluster_name="cfd"' not in world.text()
    world.clock.now -= 390
    assert 'ehpc_jobs{cluster_name="cfd"' in world.text()


def test_a_clock_that_is_set_back_keeps_no_counts_for_longer(world: World) -> None:
    now = instant(world.clock)
    world.board.publish(dated(good_state(taken_at=now.at), None, now))
    world.exposition.refresh()
    world.clock.now -= 3600
    world.clock.advance(300)
    assert 'ehpc_jobs{cluster_name="cfd"' in world.text()
    world.clock.advance(1)
    assert 'ehpc_jobs{cluster_name="cfd"' not in world.text()


def test_a_forgotten_refresh_is_made_up_for(world: World) -> None:
    world.text()
    world.board.publish(dataclasses.replace(good_state(), tried=False))
    for _ in range(3):
        world.clock.advance(1)
        world.board.publish(new_state())  # others go on publishing, and forget it too
        text = world.text()
    assert 'ehpc_up{cluster_name="cfd"} 0.0' in text


def test_a_scrape_does_not_wait_for_a_publisher(world: World) -> None:
    """While one thread is inside a publication, scrapes go on, withdrawal included."""
    inside, go_on = threading.Event(), threading.Event()

    current = world.board.current

    def slow_board() -> Mapping[str, ClusterState]:
        if threading.current_thread().name == "publisher":
            inside.set()
            assert go_on.wait(PATIENCE_SECONDS)
        return current()

    world.board.current = slow_board  # type: ignore[method-assign]
    publisher = threading.Thread(target=world.exposition.refresh, name="publisher")
    publisher.start()
    try:
        assert inside.wait(PATIENCE_SECONDS)
        assert 'ehpc_jobs{cluster_name="cfd"' in world.text()
        world.clock.advance(400)
        assert 'ehpc_jobs{cluster_name="cfd"' not in world.text()
    finally:
        go_on.set()
        publisher.join(PATIENCE_SECONDS)
    assert 'ehpc_jobs{cluster_name="cfd"' not in world.text()


def test_publishers_at_once_lose_nothing() -> None:
    world = World()

    def publish(name: str) -> None:
        for round_at in range(20):
            world.board.publish(good_state(name, taken_at=NOON_AT + round_at))
            world.exposition.refresh()

    threads = [threading.Thread(target=publish, args=(f"c{n}",), name=f"c{n}") for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        world.text()
    for thread in threads:
        thread.join()
    text = world.text()
    for number in range(4):
        line = f'ehpc_snapshot_timestamp_seconds{{cluster_name="c{number}"}}'
        assert f"{line} {format_value(NOON_AT + 19)}" in text


def test_of_many_publishers_at_once_only_one_waits(world: World) -> None:
    """What the others have published is rendered by it: three hundred waited for each other."""
    inside, go_on, looks = threading.Event(), threading.Event(), []
    current = world.board.current

    def slow_board() -> Mapping[str, ClusterState]:
        looks.append(threading.current_thread().name)
        inside.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return current()

    def publish(name: str) -> threading.Thread:
        world.board.publish(good_state(name))
        thread = threading.Thread(target=world.exposition.refresh, name=name)
        thread.start()
        return thread

    world.board.current = slow_board  # type: ignore[method-assign]
    rendering = publish("c1")
    assert inside.wait(PATIENCE_SECONDS)
    others = [publish(f"c{number}") for number in range(2, 6)]
    until(lambda: sum(each.is_alive() for each in others) == 1, "all but one to go on")
    go_on.set()
    for thread in (rendering, *others):
        thread.join(PATIENCE_SECONDS)
    assert len(looks) == 2
    for number in range(1, 6):
        assert f'ehpc_up{{cluster_name="c{number}"}} 1.0' in world.text()


def test_process_families_are_there() -> None:
    names = {family.name for family in ProcessFamilies()()}
    assert {"process_resident_memory_bytes", "process_open_fds", "python_info"} <= names
