"""A real Prometheus that scrapes what a test serves."""

import contextlib
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import requests

from tests.servers import kept_address, program
from tests.waiting import PATIENCE_SECONDS


@contextlib.contextmanager
def scraping(prometheus: str, directory: Path, scrape_configs: str) -> Iterator[str]:
    """Run Prometheus with these scrape configs until the end of the block; gives its address."""
    config = directory / "prometheus.yml"
    config.write_text(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n{scrape_configs}")
    with kept_address() as address, program(
        directory / "prometheus.log", address,
        prometheus, f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
    ) as url:  # fmt: skip
        yield url


def fetch(url: str) -> str:
    answer = requests.get(url, timeout=PATIENCE_SECONDS)
    answer.raise_for_status()
    return answer.text


def query(address: str, expression: str) -> list[dict[str, object]]:
    parameters = urllib.parse.urlencode({"query": expression})
    answer = json.loads(fetch(f"{address}/api/v1/query?{parameters}"))
    assert answer["status"] == "success"
    return list(answer["data"]["result"])
