"""What the log says of a cluster, and how often."""

import dataclasses
import logging
from pathlib import Path

import msgspec
import pytest

from exporter.clock import instant
from exporter.daemon.cluster_log import ClusterLog, IntervalLog
from exporter.model import JobListQuery
from exporter.profile import TRAITS, Profile, Trait
from exporter.simulator import DIALECTS, DOCUMENTED, Dialect, JobList, fill
from exporter.snapshot import ClusterState, SyncFailure
from tests.unit.board_states import AS_DOCUMENTED, good_state, identity, snapshot
from tests.unit.polling.polled import PolledCluster
from tests.unit.sync.simulated import START_AT, SimulatedCluster

FRESH = ClusterState(identity(), effective_interval_seconds=60.0)


class Told:
    """A log, and what it has said since the last look."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "exporter")
        self._caplog = caplog
        self.intervals = IntervalLog()
        self._log = ClusterLog()
        self._failures = 0

    def note(self, state: ClusterState, now: float) -> list[str]:
        """The messages about a state."""
        self._caplog.clear()
        self._log.note(state, now)
        self.intervals.note(state, 60.0, now)
        assert all(vars(record)["cluster"] == "cfd" for record in self._caplog.records)
        return [record.message for record in self._caplog.records]

    def fails(self, reason: str, now: float) -> int | None:
        """How many failures before were not told; None if this one is not, either."""
        self._failures += 1
        failure = SyncFailure(reason, f"failure {self._failures}", "Wait.", now)
        told = self.note(dataclasses.replace(FRESH, tried=True, failure=failure), now)
        if not told:
            return None
        assert told == ["the cluster could not be synced"]
        assert (self.field("reason"), self.field("cause")) == (reason, failure.message)
        return int(str(self.field("unlogged_before")))

    def recovers(self, now: float) -> int | None:
        """How many syncs failed before, if that is told."""
        told = self.note(dataclasses.replace(FRESH, tried=True), now)
        return int(str(self.field("failed_syncs"))) if told else None

    def field(self, name: str) -> object:
        """Of the last line."""
        return vars(self._caplog.records[-1])[name]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    return Told(caplog)


class TestFailures:
    def test_the_first_speaks_then_one_an_hour(self, told: Told) -> None:
        said = {now: told.fails("busy", now) for now in range(0, 3 * 3600 + 1, 60)}
        assert {now: untold for now, untold in said.items() if untold is not None} == {
            0: 0,
            3600: 59,
            7200: 59,
            10800: 59,
        }
        assert told.recovers(10860) == 181
        assert told.recovers(10920) is None

    def test_another_reason_speaks_for_itself(self, told: Told) -> None:
        assert told.fails("busy", 0) == 0
        assert told.fails("timeout", 1) == 0
        assert told.fails("busy", 2) is None
        assert told.recovers(3) == 3

    def test_one_is_told_once_however_often_it_is_published(self, told: Told) -> None:
        failure = SyncFailure("busy", "busy", "Wait.", 0)
        state = dataclasses.replace(FRESH, tried=True, failure=failure)
        assert len(told.note(state, 0)) == 1
        assert told.note(dataclasses.replace(state, ledger_on_disk=True), 4000) == []

    def test_one_without_advice_has_none(self, told: Told) -> None:
        failure = SyncFailure("state", "it is damaged", "", 0)
        told.note(dataclasses.replace(FRESH, tried=True, failure=failure), 0)
        with pytest.raises(KeyError):
            told.field("advice")

    def test_coming_and_going_is_not_told_each_time(self, told: Told) -> None:
        assert told.fails("busy", 0) == 0
        assert told.recovers(60) == 1
        for now in range(120, 3600, 120):
            assert told.fails("busy", now) is None
            assert told.recovers(now + 60) is None
        assert told.fails("busy", 3600) == 29

    def test_one_that_returns_and_lasts_is_told(self, told: Told) -> None:
        assert told.fails("busy", 0) == 0
        assert told.recovers(60) == 1
        said = [told.fails("busy", now) for now in range(600, 960, 60)]
        assert said == [None, None, None, None, None, 5]
        assert told.fails("busy", 960) is None
        assert told.recovers(1020) == 7


class TestTheProfile:
    def test_it_is_told_in_short_at_first_contact(self, told: Told) -> None:
        known = dataclasses.replace(FRESH, profile=AS_DOCUMENTED)
        assert told.note(FRESH, 0) == []
        assert told.note(known, 1) == []  # read from the ledger: nobody has been asked yet
        assert told.note(dataclasses.replace(known, tried=True), 2) == ["the server's profile"]
        assert {name: told.field(name) for name in TRAITS} == {
            "status_filter": "both", "order": "change", "total_count": "filtered",
            "page_size": "100", "depth": "unknown", "zone": "stamped", "lag": "unknown",
            "counters": "unknown",
        }  # fmt: skip
        assert told.note(dataclasses.replace(known, tried=True), 3) == []

    def test_each_change_is_told_with_its_evidence(self, told: Told) -> None:
        state = dataclasses.replace(FRESH, tried=True, profile=AS_DOCUMENTED)
        told.note(state, 0)
        changed = AS_DOCUMENTED.contradicted("order", "a page is not sorted", 60, 600)
        assert told.note(dataclasses.replace(state, profile=changed), 60) == [
            "a trait of the server's profile has changed"
        ]
        fields = [told.field(name) for name in ("trait", "old", "new", "evidence")]
        assert fields == ["order", "change", "unknown", "a page is not sorted"]
        assert told.note(state, 120) == ["a trait of the server's profile was found"]
        assert [told.field(name) for name in ("trait", "old", "new")] == [
            "order",
            "unknown",
            "change",
        ]

    @pytest.mark.parametrize(
        ("was", "found", "anew"),
        [
            (Trait(), Trait("utc", "seen"), True),
            (Trait("utc", "seen"), Trait("-03:30", "seen"), True),
            (Trait(), Trait("+08:00", "seen"), False),
            (Trait("utc", "seen"), Trait("configured", "seen"), False),
        ],
    )
    def test_a_ledger_that_begins_anew_in_another_zone(
        self, told: Told, was: Trait, found: Trait, anew: bool
    ) -> None:
        """That the order is asked for again, which nothing has contradicted, is a consequence and not told."""
        state = dataclasses.replace(FRESH, tried=True)
        before = msgspec.structs.replace(AS_DOCUMENTED, zone=was)
        told.note(dataclasses.replace(state, profile=before), 0)
        known = msgspec.structs.replace(before, zone=found, order=Trait() if anew else before.order)
        of_trait, *others = told.note(dataclasses.replace(state, profile=known), 60)
        assert of_trait.startswith("a trait of the server's profile ")
        assert (
            others
            == [
                "the ledger begins anew, as its times were read in another zone; the history is read again"
            ]
            * anew
        )
        if anew:
            assert told.field("new") == found.value

    def test_what_alternates_is_told_now_and_then(self, told: Told) -> None:
        state = dataclasses.replace(FRESH, tried=True)
        orders = [Profile(order=Trait(value, "seen")) for value in ("change", "unknown")]
        lines = [
            len(told.note(dataclasses.replace(state, profile=orders[turn % 2]), turn * 60))
            for turn in range(60)
        ]
        assert lines[:3] == [1, 1, 1]
        assert sum(lines) == 5

    def test_evidence_of_the_same_is_no_change(self, told: Told) -> None:
        state = dataclasses.replace(FRESH, tried=True, profile=AS_DOCUMENTED)
        told.note(state, 0)
        again = Profile(
            **{n: Trait(getattr(AS_DOCUMENTED, n).value, "more", at=9.0) for n in TRAITS}
        )
        assert told.note(dataclasses.replace(state, profile=again), 60) == []


def test_how_it_is_synced(told: Told) -> None:
    state = dataclasses.replace(FRESH, tried=True)
    assert told.note(dataclasses.replace(state, strategy="sweep"), 0) == ["the first sync is done"]
    changed = ["the sync strategy has changed"]
    assert told.note(dataclasses.replace(state, strategy="delta"), 60) == changed
    assert told.note(dataclasses.replace(state, strategy="sweep"), 120) == []
    assert told.note(dataclasses.replace(state, strategy="delta"), 1860) == changed


def test_a_poller_that_begins_anew_tells_only_what_is_new(told: Told) -> None:
    known = dataclasses.replace(FRESH, tried=True, strategy="delta", profile=AS_DOCUMENTED)
    assert told.note(known, 0) == ["the first sync is done", "the server's profile"]
    assert told.note(FRESH, 60) == []
    assert told.note(known, 61) == []
    failure = SyncFailure("busy", "busy", "Wait.", 0)
    down = dataclasses.replace(known, failure=failure)
    assert told.note(down, 120) == ["the cluster could not be synced"]
    assert told.note(FRESH, 180) == []
    assert told.note(dataclasses.replace(known, strategy="scan"), 181) == [
        "the cluster is synced again", "the sync strategy has changed",
    ]  # fmt: skip


class TestIntervals:
    @pytest.mark.parametrize(("staleness", "advised"), [(None, False), (120.0, True)])
    def test_that_stay_stretched(self, told: Told, staleness: float | None, advised: bool) -> None:
        state = dataclasses.replace(FRESH, staleness_wanted_seconds=staleness)
        stretched = dataclasses.replace(state, effective_interval_seconds=140.0)
        assert told.note(stretched, 0) == []
        (message,) = told.note(stretched, 300)
        assert "intervals are stretched" in message
        assert (told.field("clusters"), told.field("longest_seconds")) == (1, 140)
        assert ("collection.staleness" in str(told.field("advice"))) is advised
        assert told.note(stretched, 4000) == []
        assert told.note(state, 4060) == []
        assert told.note(stretched, 4120) == []
        assert told.note(stretched, 4420) == [message]

    def test_that_come_and_go(self, told: Told) -> None:
        stretched = dataclasses.replace(FRESH, effective_interval_seconds=140.0)
        states = [(FRESH, stretched)[turn // 3 % 2] for turn in range(600)]
        assert [told.note(state, 60 * turn) for turn, state in enumerate(states)] == [[]] * 600

    def test_of_many_clusters_are_one_line(self, caplog: pytest.LogCaptureFixture) -> None:
        intervals = IntervalLog()
        states = [
            dataclasses.replace(
                good_state(f"c{number}"), effective_interval_seconds=60.0 + number, failure=None
            )
            for number in range(300)
        ]
        for now in (0, 400, 800, 4000):
            caplog.clear()
            for state in states:
                intervals.note(state, 60.0, now)
            if now == 400:
                (line,) = map(vars, caplog.records)
                found = [line[each] for each in ("clusters", "shortest_seconds", "longest_seconds")]
                assert (line["cluster"], found) == ("c299", [293, 67, 359])
            else:
                assert "stretched" not in caplog.text

    def test_of_a_cluster_that_is_no_longer_polled(self, told: Told) -> None:
        stretched = dataclasses.replace(FRESH, effective_interval_seconds=140.0)
        told.note(stretched, 0)
        told.intervals.forget("cfd")
        assert told.note(stretched, 300) == []


def test_a_history_that_cannot_be_read_to_its_end(told: Told) -> None:
    part = dataclasses.replace(snapshot(), history_complete=False)
    state = dataclasses.replace(good_state(), snapshot=part)
    told.note(state, 0)
    obstacle = SyncFailure("depth", "it shows no more than 10000 jobs", "Nothing helps.", 60)
    stuck = dataclasses.replace(state, history_obstacle=obstacle)
    assert told.note(stuck, 60) == ["the history cannot be read to its end"]
    assert (told.field("reason"), told.field("cause")) == ("depth", obstacle.message)
    more = dataclasses.replace(part, history_known=part.history_known + 1)
    assert told.note(dataclasses.replace(stuck, snapshot=more), 4000) == []


# What real pollers make of it


def polled(jobs: int, dialect: Dialect = DOCUMENTED) -> PolledCluster:
    listed = JobList()
    fill(listed, jobs, active=40, now_at=START_AT - 5)
    return PolledCluster(SimulatedCluster(dialect, jobs=listed))


def test_a_history_of_hours_is_told_now_and_then_and_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "exporter")
    cloud = polled(8_000)
    cloud.call_seconds = 25.0  # a page or two between two syncs: it takes an hour
    cloud.run(7200)
    told = caplog.messages
    progress = told.count("reading the history")
    shown = {state.snapshot.history_known for state in cloud.published if state.snapshot}
    assert 2 <= progress < len(shown) / 3
    assert told.count("the history is complete") == 1
    assert "reading the history" not in told[told.index("the history is complete") :]


@pytest.mark.parametrize("dialect", ["documented", "sort-by-submitted-only", "nothing-honoured"])
def test_nothing_is_told_when_all_goes_on(caplog: pytest.LogCaptureFixture, dialect: str) -> None:
    caplog.set_level(logging.INFO, "exporter")
    cloud = polled(300, DIALECTS[dialect])
    settled_at = cloud.clock.now + 1800
    early: list[str] = []

    def until_settled(_: JobListQuery) -> None:
        if cloud.clock.now < settled_at:
            early[:] = caplog.messages

    cloud.trouble = until_settled
    cloud.run(2 * 3600)  # what is told now and then is told once an hour
    assert early.count("the server's profile") == 1
    assert caplog.messages == early
    assert len(cloud.sync_times) > 100


@pytest.mark.parametrize("dialect", ["documented", "sort-ignored"])
def test_why_a_history_is_not_shown_is_told_once_and_stays_on_the_board(
    caplog: pytest.LogCaptureFixture, dialect: str
) -> None:
    caplog.set_level(logging.INFO, "exporter")
    cloud = polled(3_000, dataclasses.replace(DIALECTS[dialect], depth_limit=500))
    cloud.run(7200)
    state = cloud.state
    assert state.up
    assert state.profile.depth.value == "500"
    assert state.snapshot is not None
    assert not state.snapshot.history_complete
    assert state.history_obstacle is not None
    assert state.history_obstacle.reason == "depth"
    assert "500 jobs" in state.history_obstacle.message
    assert caplog.messages.count("the history cannot be read to its end") == 1


def test_a_history_that_is_complete_has_no_obstacle() -> None:
    cloud = polled(900, dataclasses.replace(DOCUMENTED, depth_limit=500))
    cloud.run(7200)
    assert cloud.state.snapshot is not None
    assert cloud.state.snapshot.history_complete
    assert cloud.state.history_obstacle is None


def test_what_the_server_does_is_known_also_while_it_cannot_be_reached(tmp_path: Path) -> None:
    cloud = polled(300)
    cloud.path = tmp_path / "one.ledger"
    cloud.poller = cloud.new_poller()
    cloud.run(600)
    known = cloud.state.profile
    assert known.status_filter.value == "both"
    cloud.fail()
    cloud.clock.advance(86_400)  # so that no counts are shown, either
    cloud.poller = cloud.new_poller()
    cloud.run(60)
    assert not cloud.state.up
    assert cloud.state.is_withdrawn(instant(cloud.clock))
    assert cloud.state.profile == known
