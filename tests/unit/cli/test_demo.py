"""The demo's configuration is one, and its guide names what is there."""

from pathlib import Path

import pytest

from exporter.cli.demo import GROUPS_FILE, SimulatedCluster, config_text, guide
from exporter.config import ServeOptions, parse_config
from exporter.labels import NO_GROUP
from exporter.simulator import story
from exporter.simulator.workload import GROUPS, demo_profiles
from exporter.texts import LANGUAGES, Words


def test_the_configuration_is_one(tmp_path: Path) -> None:
    (tmp_path / GROUPS_FILE).write_text(GROUPS, encoding="utf-8")
    clusters = [SimulatedCluster("ehpc-a", "z1"), SimulatedCluster("ehpc-b", "z2")]
    config = parse_config(config_text("http://127.0.0.1:1", clusters), {}, tmp_path)
    assert [(each.name, each.cluster_id, each.zone) for each in config.clusters] == [
        ("demo-1", "ehpc-a", "z1"),
        ("demo-2", "ehpc-b", "z2"),
    ]
    assert config.state.path is None
    groups = config.labels.groups
    assert groups is not None
    users = {user for profile in demo_profiles(4) for user in profile.users}
    told = {groups.of(user) for user in users}
    assert {NO_GROUP, groups.of(story.FLOOD_USER)} < told
    assert {each for each in groups.names if "*" not in each} <= users


@pytest.mark.parametrize(
    ("address", "base"),
    [(":10046", "http://127.0.0.1:10046"), ("[::1]:1", "http://[::1]:1"), ("h:2", "http://h:2")],
)
def test_the_guide_names_the_address(address: str, base: str) -> None:
    for language in LANGUAGES:
        text = guide(ServeOptions((address,)), "http://127.0.0.1:1", [], Words(language))
        assert f"{base}/metrics " in text
        assert f"{base}/ " in text


def test_the_guide_says_what_the_story_is() -> None:
    """Names of the clusters by their places, as the configuration gives them, and moments."""
    hosted = [profile.cluster_id for profile in demo_profiles(4)]
    names = {cluster_id: f"demo-{number}" for number, cluster_id in enumerate(hosted, 1)}
    for language in LANGUAGES:
        lines = guide(ServeOptions(), "", [], Words(language)).splitlines()
        told = [line.split(maxsplit=1) for line in lines if line.startswith("  0:")]
        for (moment, words), (at, cluster_id, more) in zip(
            told,
            [
                ("0:05", story.BACKLOG_CLUSTER, [story.BACKLOG_QUEUE, "2:05"]),
                ("0:20", story.FLOOD_CLUSTER, [story.FLOOD_QUEUE, story.FLOOD_USER, "4:00"]),
                ("0:25", story.FAILING_CLUSTER, []),
                ("0:50", story.EMPTY_CLUSTER, [story.EMPTY_QUEUE, "2:30"]),
            ],
            strict=True,
        ):
            assert moment == at
            assert words.startswith(names[cluster_id])
            assert all(each in words for each in more)
