"""A real Prometheus that scrapes what a test serves."""

import contextlib
import json
import signal
import socket
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import requests

from tests.waiting import PATIENCE_SECONDS, until


@contextlib.contextmanager
def scraping(program: str, directory: Path, scrape_configs: str) -> Iterator[str]:
    """Run Prometheus with these scrape configs until the end of the block; gives its address."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = directory / "prometheus.yml"
    config.write_text(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n{scrape_configs}")
    command = [
        program, f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
    ]  # fmt: skip
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: is_ready(address), "Prometheus to start")
        yield f"http://{address}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def is_ready(address: str) -> bool:
    try:
        return bool(fetch(f"http://{address}/-/ready"))
    except OSError:
        return False


def fetch(url: str) -> str:
    answer = requests.get(url, timeout=PATIENCE_SECONDS)
    answer.raise_for_status()
    return answer.text


def query(address: str, expression: str) -> list[dict[str, object]]:
    parameters = urllib.parse.urlencode({"query": expression})
    answer = json.loads(fetch(f"{address}/api/v1/query?{parameters}"))
    assert answer["status"] == "success"
    return list(answer["data"]["result"])
