"""When a cluster is asked, by what cluster/list counts of it: decisions by table, and whole fleets."""

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.api.lists import Counters
from exporter.clock import Instant
from exporter.model import ListedCluster
from exporter.polling.detector import (
    Detector,
    SyncResult,
    Verdict,
    active_counts_match,
    ended_counts_match,
)
from exporter.polling.schedule import forced_seconds
from exporter.sync.context import SyncSettings
from tests.unit.polling.fleet import ZONE, SimulatedFleet

QUIET, BUSY = {"pending": 1, "running": 2}, {"pending": 2, "running": 2}
FORCED, INTERVAL = 530.0, 60.0


def listed(at: float, jobs: Mapping[str, int]) -> Counters:
    return Counters(jobs, Instant(at, at))


def looked(at: float, jobs: Mapping[str, int], changed_by: float | None = None) -> SyncResult:
    return SyncResult(at, at + 1, jobs, changed_by)


def played(*events: Counters | SyncResult | None) -> tuple[Detector, list[bool]]:
    """A detector that was told all this, and what it has found: whether counters follow."""
    detector, found = Detector(), []
    for event in events:
        finding = (
            detector.synced(event) if isinstance(event, SyncResult) else detector.listed(event)
        )
        found += [finding.follow] if finding else []
    return detector, found


AT_REST = (listed(0, QUIET), looked(10, QUIET))
LATER = Verdict("later", Instant(60, 60), 150)


@pytest.mark.parametrize(
    ("events", "now", "verdict"),
    [
        ((), 70, Verdict("when due")),
        ((listed(0, QUIET),), 70, Verdict("when due")),
        ((looked(10, QUIET), listed(60, QUIET)), 70, Verdict("when due")),
        ((*AT_REST, listed(60, QUIET)), 70, LATER),
        ((*AT_REST, listed(60, BUSY)), 70, Verdict("now")),
        # What has moved is looked at, though it has moved back since.
        ((*AT_REST, listed(60, BUSY), listed(65, QUIET)), 70, Verdict("now")),
        # No newer listing than the look: wait for the next one, and not for long.
        (AT_REST, 70, Verdict("later", None, 90)),
        (AT_REST, 90, Verdict("when due")),
        ((listed(0, QUIET), looked(59.5, BUSY), listed(60, QUIET)), 61, Verdict("later", None, 150)),
        # It fails, or comes no more.
        ((*AT_REST, listed(60, QUIET), None), 121, Verdict("when due")),
        ((*AT_REST, listed(60, QUIET)), 151, Verdict("when due")),
        # A forced look.
        ((*AT_REST, listed(500, QUIET)), 530, Verdict("later", Instant(500, 500), 540)),
        ((*AT_REST, listed(500, QUIET)), 540, Verdict("now")),
        # They stand still and are wrong.
        ((listed(0, BUSY), looked(10, QUIET), listed(60, BUSY)), 70, Verdict("when due")),
    ],
)  # fmt: skip
def test_when_a_cluster_is_asked(
    events: tuple[Counters | SyncResult | None, ...], now: float, verdict: Verdict
) -> None:
    detector, _ = played(*events)
    how: dict[str, float] = {"listing_interval_seconds": INTERVAL, "forced_seconds": FORCED}
    assert detector.verdict(now, follow=True, **how) == verdict
    assert detector.verdict(now, follow=False, **how) == Verdict("when due")


def test_a_zone_that_nobody_lists_spares_no_sync() -> None:
    """A listing that capacity or discovery has asked for may be the last for long."""
    fleet = SimulatedFleet(1)
    listings, lists = fleet.lister.listings(ZONE), fleet.lister.account.lists
    lists.get(ZONE)
    assert listings.newest("ehpc-0") is None
    fleet.lister.watch({ZONE: [60.0, 60.0]})
    assert listings.newest("ehpc-0") is not None
    fleet.lister.turn()
    assert fleet.budget.effective_interval_seconds(f"cluster/list {ZONE}") > 0
    fleet.lister.stop()
    assert listings.newest("ehpc-0") is None


MOVED = (*AT_REST, listed(60, QUIET), looked(70, BUSY, 71), listed(120, BUSY))


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((*AT_REST, listed(60, QUIET)), []),
        (MOVED, [True]),
        # A change has not moved them by the listing after it, or by one that its stamp precedes.
        ((*AT_REST, listed(60, QUIET), looked(70, BUSY, 71), listed(120, QUIET)), [False]),
        ((*AT_REST, listed(60, QUIET), looked(70, BUSY, 40)), [False]),
        ((*AT_REST, listed(60, QUIET), listed(120, BUSY), looked(121, BUSY, 40)), [False]),
        ((*AT_REST, listed(60, QUIET), listed(120, BUSY), looked(121, BUSY, 80)), []),
        # What was found without a listing in between must be in the next one all the same.
        ((*AT_REST, looked(70, BUSY, 71), looked(130, BUSY), listed(180, QUIET)), [False]),
        # One asked for during a look proves nothing.
        ((*AT_REST, listed(60, QUIET), looked(70, BUSY, 71), listed(70.5, QUIET)), []),
        # At rest they are wrong, and it is not the list that is late.
        ((listed(0, BUSY), looked(10, QUIET), listed(60, BUSY)), []),
        (
            (listed(0, BUSY), looked(10, QUIET), listed(60, BUSY), looked(70, QUIET),
             listed(120, BUSY)),
            [False],
        ),
        # Opposite moves may cancel after a move that was seen.
        (
            (*AT_REST, listed(60, BUSY), looked(61, BUSY, 50), listed(120, QUIET),
             looked(121, QUIET, 110)),
            [],
        ),
    ],
)  # fmt: skip
def test_what_shows_whether_counters_follow(
    events: tuple[Counters | SyncResult | None, ...], found: list[bool]
) -> None:
    assert played(*events)[1] == found


def test_what_equals_at_rest_follows_where_its_neighbours_do() -> None:
    detector, _ = played(*AT_REST)
    finding = detector.listed(listed(60, QUIET), neighbours_follow=True)
    assert finding is not None
    assert finding.follow


@pytest.mark.parametrize(
    ("counted", "equal"),
    [
        ({"pending": 1, "running": 2, "finished": 3}, (True, True)),
        ({"pending": 1, "running": 3, "finished": 7}, (True, True)),
        ({"pending": 1, "running": 4, "finished": 6}, (False, False)),
        ({"pending": 2, "running": 2}, (False, False)),
        ({"running": 2}, (False, False)),
        ({}, (False, False)),
    ],
)
def test_counters_are_read_either_way(counted: dict[str, int], equal: tuple[bool, bool]) -> None:
    jobs = {"pending": 1, "running": 2, "suspended": 1, "finished": 3, "exited": 4}
    assert (active_counts_match(counted, jobs), ended_counts_match(counted, jobs)) == equal


@pytest.mark.parametrize("audit", [10.0, 60.0, 600.0, 7200.0])
def test_a_forced_look_comes_within_the_audit_interval(audit: float) -> None:
    seconds = forced_seconds(SyncSettings(interval_seconds=60, audit_interval_seconds=audit))
    assert seconds == {10.0: 60.0, 60.0: 60.0, 600.0: FORCED, 7200.0: 1200.0}[audit]


# -- whole fleets --------------------------------------------------------------------------------


def test_a_quiet_fleet_costs_what_changes_and_its_counts_are_as_fresh_as_its_list() -> None:
    fleet, rng = SimulatedFleet(10), Random(1)
    fleet.run(1200, fleet.churn(20, 0.1, rng))
    assert fleet.following() == 10
    before = fleet.calls
    fleet.run(1800, fleet.churn(30, 0.1, rng))
    syncs = 30 * 10 * 0.1 + 10 * 1800 / FORCED
    assert fleet.calls - before < 31 + 1.1 * syncs
    for each in fleet.clusters.values():
        assert each.state.snapshot is not None
        assert fleet.clock.now - each.state.snapshot.taken_at <= 62
        assert each.state.up
    fleet.run(62)
    assert fleet.wrong() == []


def test_a_change_is_shown_at_the_next_listing() -> None:
    fleet, rng = SimulatedFleet(3), Random(1)
    fleet.run(600, fleet.churn(10, 0.5, rng))
    fleet.run(150)
    assert fleet.following() == 3
    late: list[str] = []
    changed = (301, lambda: fleet.traffic("ehpc-1", rng))
    fleet.run(600, [changed, (363, lambda: late.extend(fleet.wrong()))])
    assert late == []


def test_where_the_list_fails_each_cluster_is_asked_every_interval() -> None:
    fleet, rng = SimulatedFleet(5), Random(1)
    fleet.run(900, fleet.churn(15, 0.3, rng))
    fleet.run(90)
    assert fleet.following() == 5
    fleet.list_fails = lambda: True
    fleet.run(120)
    before = fleet.calls - fleet.listings
    fleet.run(600)
    assert fleet.calls - fleet.listings - before >= 5 * 10
    assert fleet.listings < 40


@pytest.mark.parametrize("counting", ["lagging", "still"])
def test_counters_that_lag_or_stand_still_are_dropped(counting: Any) -> None:
    fleet, rng = SimulatedFleet(4, counting=counting), Random(2)
    fleet.run(3600, fleet.churn(60, 0.2, rng))
    traits = [each.state.profile.counters for each in fleet.clusters.values()]
    assert all(trait.contradictions > 1 for trait in traits)
    assert counting == "lagging" or fleet.following() == 0
    fleet.run(130)
    assert fleet.wrong() == []


def test_a_single_cluster_is_not_listed() -> None:
    fleet = SimulatedFleet(1)
    fleet.run(600)
    assert fleet.listings == 0


LIES = st.sampled_from(["none", "frozen", "noise", "missing", "other", "fails", "back"])


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), lies=st.lists(LIES, min_size=1, max_size=4),
       counting=st.sampled_from(["live", "lagging", "still", "otherwise"]))  # fmt: skip
def test_whatever_counters_do_counts_are_right_once_the_list_rests(
    seed: int, lies: list[str], counting: Any
) -> None:
    rng = Random(seed)
    fleet = SimulatedFleet(3, counting=counting, jobs=20, active=6)
    told: dict[str, list[ListedCluster]] = {name: [] for name in fleet.clusters}

    def lie_now() -> str:
        return lies[int(fleet.clock.now // 600) % len(lies)]

    def distort(each: ListedCluster) -> ListedCluster | None:
        told[each.cluster_id].append(each)
        lie = lie_now()
        if lie == "frozen":
            return told[each.cluster_id][len(told[each.cluster_id]) // 2]
        if lie == "back":
            return rng.choice(told[each.cluster_id][-5:])
        if lie == "noise":
            return each._replace(jobs={**each.jobs, "pending": rng.randrange(9)})
        if lie == "other":
            return each._replace(jobs={"finished": 7})
        return None if lie == "missing" else each

    fleet.distort = distort
    fleet.list_fails = lambda: lie_now() == "fails"
    fleet.run(2400, fleet.churn(40, rng.choice([0.1, 0.5]), rng))
    fleet.run(SyncSettings().audit_interval_seconds)
    assert fleet.wrong() == []
