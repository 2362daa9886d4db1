from pathlib import Path

import pytest

from exporter.cli.demo import PretendCluster, config_text, guide
from exporter.config import ServeOptions, parse_config


def test_the_configuration_is_one() -> None:
    clusters = [PretendCluster("ehpc-a", "z1"), PretendCluster("ehpc-b", "z2")]
    config = parse_config(config_text("http://127.0.0.1:1", clusters), {}, Path("/"))
    assert [(each.name, each.cluster_id, each.zone) for each in config.clusters] == [
        ("demo-1", "ehpc-a", "z1"),
        ("demo-2", "ehpc-b", "z2"),
    ]
    assert config.state.path is None


@pytest.mark.parametrize(
    ("address", "base"),
    [(":10046", "http://127.0.0.1:10046"), ("[::1]:1", "http://[::1]:1"), ("h:2", "http://h:2")],
)
def test_the_guide_names_the_address(address: str, base: str) -> None:
    text = guide(ServeOptions((address,)), "http://127.0.0.1:1", [])
    assert f"{base}/metrics " in text
    assert f"{base}/ " in text
