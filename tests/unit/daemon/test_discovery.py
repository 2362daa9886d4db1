"""Which clusters are watched, by what is listed and what the configuration says."""

from dataclasses import replace

import pytest

from exporter.config import Config, Shard
from exporter.daemon.discovery import after_listing
from exporter.daemon.sightings import of_shard, survey, together, with_found
from exporter.model import ListedCluster
from tests.unit.daemon.zones import ZONE, config, listed


def names(config: Config, **zones: tuple[ListedCluster, ...]) -> list[str]:
    return [each.name for each in with_found(config, {"default": zones}).clusters]


def test_one_that_is_stopped_is_served_until_its_next_look() -> None:
    stopped = with_found(config(), {"default": {ZONE: listed("ehpc-1", status="stopped")}})
    assert (stopped.clusters[0].interval_seconds, stopped.clusters[0].staleness_seconds) == (
        600,
        1200,
    )
    rarely = config({"interval": "30m"})
    (cluster,) = with_found(
        rarely, {"default": {ZONE: listed("ehpc-1", status="stopped")}}
    ).clusters
    assert (cluster.interval_seconds, cluster.staleness_seconds) == (1800, None)


def test_nothing_found_is_what_is_configured() -> None:
    assert names(config()) == []
    assert with_found(config(), {}) == config()


def test_found_clusters_are_called_by_their_ids() -> None:
    whole = with_found(config(), {"default": {ZONE: listed("ehpc-1"), "jn1a": listed("hpc-2")}})
    first, second = whole.clusters
    assert (first.identity.name, first.cluster_id, first.zone) == ("ehpc-1", "ehpc-1", ZONE)
    assert (second.account, second.zone) == ("default", "jn1a")
    assert (first.timezone, first.interval_seconds, first.staleness_seconds) == (None, 30, 1200)


def test_what_is_configured_wins_and_may_have_another_name() -> None:
    known = {"name": "cfd", "cluster_id": "ehpc-1", "zone": ZONE, "interval": "5m"}
    whole = with_found(config(None, known), {"default": {ZONE: listed("ehpc-1", "ehpc-2")}})
    assert [(each.name, each.interval_seconds) for each in whole.clusters] == [
        ("cfd", 300),
        ("ehpc-2", 30),
    ]


def test_names_stay_apart() -> None:
    known = {"name": "ehpc-2", "cluster_id": "ehpc-1", "zone": ZONE}
    found = {ZONE: listed("ehpc-2"), "jn1a": listed("ehpc-2")}
    assert names(config(None, known), **found) == [
        "ehpc-2", "default/jinan1a/ehpc-2", "default/jn1a/ehpc-2",
    ]  # fmt: skip


def test_only_those_that_are_wanted() -> None:
    asked = config({"include": ["cfd", "hpc-.*"], "exclude": ["hpc-9"]})
    found = (*listed("ehpc-1", name="cfd"), *listed("ehpc-2", "hpc-8", "hpc-9"))
    assert names(asked, **{ZONE: found}) == ["ehpc-1", "hpc-8"]


def test_a_cluster_that_two_accounts_show_is_watched_once() -> None:
    one = config()
    (first,) = one.accounts
    second, elsewhere = (
        replace(first, name="second"),
        replace(first, name="elsewhere", endpoint="https://y.example"),
    )
    both = replace(one, accounts=(first, second, elsewhere))
    found = {name: {ZONE: listed("ehpc-1")} for name in ("default", "second", "elsewhere")}
    watched = [(each.name, each.account) for each in with_found(both, found).clusters]
    assert watched == [
        ("ehpc-1", "default"), ("elsewhere/jinan1a/ehpc-1", "elsewhere"),
    ]  # fmt: skip


def test_zones_and_accounts_that_are_not_asked_for() -> None:
    assert names(config(), elsewhere=listed("ehpc-1")) == []
    assert with_found(config(), {"gone": {ZONE: listed("ehpc-1")}}).clusters == ()


@pytest.mark.parametrize(("status", "interval"), [("", 30), ("active", 30), ("stopped", 600)])
def test_a_stopped_one_is_watched_rarely(status: str, interval: float) -> None:
    found = {"default": {ZONE: listed("ehpc-1", status=status)}}
    assert with_found(config(), found).clusters[0].interval_seconds == interval


def test_a_cluster_has_left_when_it_is_missing_twice() -> None:
    missing: set[str] = set()
    one, two = listed("ehpc-1", "ehpc-2")
    before = after_listing((), (one, two), missing)
    assert before == (one, two)
    before = after_listing(before, (two,), missing)
    assert before == (two, one)
    assert after_listing(before, (two,), set(missing)) == (two,)
    before = after_listing(before, (one, two), missing)
    assert after_listing(before, (two,), missing) == (two, one)
    assert after_listing((two, one), (), missing) == (two,)


def test_what_becomes_of_each_and_why() -> None:
    known = ({"name": "cfd", "cluster_id": "ehpc-1", "zone": ZONE},
             {"name": "lost", "cluster_id": "ehpc-lost", "zone": ZONE},
             {"name": "elsewhere", "cluster_id": "ehpc-3", "zone": "never-listed"})  # fmt: skip
    wanted = {"include": ["ehpc-.*", "gpu"], "exclude": [".*test.*"]}
    one = config(wanted, *known)
    second = replace(one.accounts[0], name="second")
    found = (
        *listed("ehpc-1", "ehpc-2"), *listed("hpc-8", name="gpu"), *listed("hpc-9"),
        *listed("ehpc-4", name="a test"), *listed("ehpc-5", status="stopped"),
    )  # fmt: skip
    both = {"default": {ZONE: found}, "second": {ZONE: listed("ehpc-2")}}
    told = together(survey(replace(one, accounts=(*one.accounts, second)), both))
    assert told == {
        ("default", ZONE): {
            "watched": ["ehpc-2", "hpc-8"], "rarely": ["ehpc-5 (stopped)"], "configured": ["cfd"],
            "unlisted": ["lost"], "excluded": ["ehpc-4 (a test)"], "not_included": ["hpc-9"],
        },
        ("second", ZONE): {"twice": ["ehpc-2"]},
    }  # fmt: skip
    assert list(told["default", ZONE]) == [
        "watched", "rarely", "configured", "unlisted", "excluded", "not_included"
    ]  # fmt: skip


def test_what_another_shard_polls_is_not_watched_here() -> None:
    found = {"default": {ZONE: listed("ehpc-1", "ehpc-2", "ehpc-3", "ehpc-4")}}
    known = {"name": "cfd", "cluster_id": "ehpc-1", "zone": ZONE}
    shards = [together(of_shard(survey(config(None, known), found), Shard(i, 2))) for i in (0, 1)]
    here, there = (each["default", ZONE] for each in shards)
    assert here["configured"] == there["configured"] == ["cfd"]
    assert here["watched"]
    assert (here["watched"], here["elsewhere"]) == (there["elsewhere"], there["watched"])


def test_names_of_the_cloud_end_no_line_and_turn_no_direction() -> None:
    found = {"default": {ZONE: listed("ehpc-1", name="a\n\u202eb")}}
    told = together(survey(config({"exclude": [".*"]}), found))
    assert told["default", ZONE]["excluded"] == [r"ehpc-1 (a\n\u202eb)"]
