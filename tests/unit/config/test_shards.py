"""Each cluster is on one shard, on every machine the same, and all shards together keep the share."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cli.projection import project, report
from exporter.config import Config, Shard, parse_config, parse_shard, select, shard_of
from exporter.errors import ConfigError

COUNTS = st.integers(min_value=1, max_value=40)
IDS = st.text(min_size=1, max_size=30)


def a_config(clusters: int = 12, *, requests: int = 2000, share: float = 0.5) -> Config:
    names = ", ".join(f"{{cluster_id: ehpc-{number}, zone: z}}" for number in range(clusters))
    return parse_config(
        "accounts: [{endpoint: 'https://hpc.example.com', access_key_id: K, secret_access_key: S,"
        f" quota: {{requests: {requests}, share: {share}}}}}]\nclusters: [{names}]",
        {},
        Path("/"),
    )


@pytest.mark.parametrize(
    ("cluster_id", "shards"),
    [  # for i in 0 1 2 3 4; do printf "$i/$id" | sha256sum; done: the highest of the first N
        ("ehpc-qmmvigwe", [0, 1, 2, 2, 2]),
        ("ehpc-1", [0, 1, 2, 2, 2]),
        ("ehpc-2", [0, 0, 0, 0, 0]),
        ("集群", [0, 1, 2, 2, 2]),
    ],
)
def test_known_answers(cluster_id: str, shards: list[int]) -> None:
    assert [shard_of(cluster_id, count) for count in range(1, 6)] == shards


@given(IDS, COUNTS)
def test_one_shard_more_takes_clusters_and_moves_none_between_the_others(
    cluster_id: str, count: int
) -> None:
    assert shard_of(cluster_id, count + 1) in {shard_of(cluster_id, count), count}


def test_clusters_spread() -> None:
    loads = Counter(shard_of(f"ehpc-{number:08x}", 8) for number in range(4000))
    assert set(loads) == set(range(8))
    assert all(400 < load < 600 for load in loads.values())


@given(COUNTS)
def test_every_cluster_is_on_one_shard(count: int) -> None:
    config = a_config()
    parts = [select(config, Shard(index, count)) for index in range(count)]
    polled = [cluster for part in parts for cluster in part.clusters]
    assert sorted(each.name for each in polled) == sorted(each.name for each in config.clusters)
    assert {part.collection for part in parts} == {config.collection}


@given(
    requests=st.integers(min_value=1, max_value=100_000),
    share=st.floats(min_value=0.001, max_value=1),
    count=COUNTS,
)
def test_together_they_have_the_share_and_no_more(requests: int, share: float, count: int) -> None:
    config = a_config()
    (account,) = config.accounts
    account = replace(account, quota_requests=requests, quota_share=share)
    config = replace(config, accounts=(account,))
    try:
        parts = [select(config, Shard(index, count)) for index in range(count)]
    except ConfigError:
        assert account.allowed_calls < count
        return
    allowed = [part.accounts[0].allowed_calls for part in parts]
    assert min(allowed) >= 1
    assert account.allowed_calls - count < sum(allowed) <= account.allowed_calls


def test_one_shard_of_one_is_everything() -> None:
    config = a_config()
    assert select(config, Shard()) is config


def test_a_share_that_cannot_be_divided() -> None:
    with pytest.raises(ConfigError) as caught:
        select(a_config(requests=10, share=0.5), Shard(0, 6))
    assert str(caught.value) == (
        "accounts[0].quota: 5 calls in its period cannot be divided among 6 shards; "
        "use fewer shards or a larger share"
    )


def test_the_projection_is_of_the_shard() -> None:
    whole = project(a_config())[0]
    parts = [project(select(a_config(), Shard(index, 4)))[0] for index in range(4)]
    assert sum(part.calls for part in parts) == whole.calls
    assert sum(part.account.calls_per_hour for part in parts) == whole.account.calls_per_hour
    text = report(select(a_config(), Shard(0, 4)))
    assert "250 allowed (0.5 of 2,000 in 1h, divided among 4 shards)" in text


def test_the_share_that_is_advised_to_a_shard_is_enough() -> None:
    config = a_config(clusters=40, share=0.1)
    cost = project(select(config, Shard(1, 4)))[0]
    assert not cost.fits
    (account,) = config.accounts
    raised = replace(config, accounts=(replace(account, quota_share=cost.share_needed),))
    assert project(select(raised, Shard(1, 4)))[0].fits


@pytest.mark.parametrize(("text", "shard"), [("0/1", Shard()), ("1/2", Shard(1, 2))])
def test_a_shard_is_written_as(text: str, shard: Shard) -> None:
    assert parse_shard(text) == shard
    assert str(shard) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1", "'1' is not I/N, such as 0/2 for the first of two shards"),
        ("", "'' is not I/N"),
        ("-1/2", "'-1/2' is not I/N"),
        ("1/2/3", "'1/2/3' is not I/N"),
        ("٠/٢", "'٠/٢' is not I/N"),
        ("0/0", "'0/0': there can be 1 to 1000 shards"),
        ("0/1001", "'0/1001': there can be 1 to 1000 shards"),
        ("2/2", "'2/2': of 2 shards the last one is 1/2"),
    ],
)
def test_what_is_no_shard(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_shard(text)
