"""Servers of other projects, started by a test and ended by it."""

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.real_prometheus import is_ready
from tests.waiting import PATIENCE_SECONDS, until


def free_address() -> str:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


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
