"""Ports that nobody else takes."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def kept_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port for whoever is told of it, until the end of the block; while nobody listens, it refuses.

    One that was free a moment ago may be another's by now: of a test in another process, or of a client
    that has just connected to something.
    """
    with socket.socket() as kept:
        # Beside a socket that is bound and does not listen, one that has this set may listen.
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind((host, 0))
        port: int = kept.getsockname()[1]
        yield port
