"""Servers of other projects, started by a test and ended by it."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import requests

from tests.ports import kept_port
from tests.waiting import PATIENCE_SECONDS, until


@contextlib.contextmanager
def kept_address() -> Iterator[str]:
    """An address for a server, until the end of the block."""
    with kept_port() as port:
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def program(log_path: Path, address: str, *command: str) -> Iterator[str]:
    """Run a server until the end of the block; gives the URL at which it is ready."""
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: is_ready(address) or process.poll() is not None, f"{command[0]} to start")
        assert process.poll() is None, log_path.read_text()
        yield f"http://{address}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def is_ready(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/-/ready", timeout=PATIENCE_SECONDS).ok
    except OSError:
        return False
