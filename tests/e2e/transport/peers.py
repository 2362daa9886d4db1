"""Servers of raw sockets that answer, stall, break or flood as a test wants them to."""

import select
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter.api.transport import RequestsTransport
from exporter.clock import SystemClock
from exporter.errors import TransportError
from tests.waiting import PATIENCE_SECONDS

TIMEOUT_SECONDS = 0.6
"""Of an exchange that is to run into it."""
DRIP_SECONDS = 0.05
"""Between two bytes: by read timeouts alone, any of the drips here goes on for minutes."""

QUERY = (
    "access_key_id=AKIDEXAMPLE&cluster_id=ehpc-1&queue_name=%E9%BB%98%E8%AE%A4%20%E9%98%9F%E5%88%97"
    "&timestamp=2021-08-19T16%3A44%3A40Z&tilde=~.-_%7E&zone=jinan1a"
    "&signature=KX3BX%252F9ap1SIW%252BUKA%253D"
)
TARGET = f"/api/job/list?{QUERY}"
BODY = b'{"ret_code": 0}'
DATE = "Thu, 19 Aug 2021 16:44:40 GMT"

Behaviour = Callable[[socket.socket], None]


def answer(body: bytes = BODY, *headers: str, status: str = "200 OK", length: Any = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_request(connection: socket.socket) -> bytes:
    """One request without a body, as it is on the wire; empty at the end."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        part = connection.recv(65536)
        if not part:
            return b""
        request += part
    return request


def drip(connection: socket.socket, octets: bytes) -> None:
    for octet in octets:
        connection.sendall(bytes([octet]))
        time.sleep(DRIP_SECONDS)


def hold(connection: socket.socket) -> None:
    """Say nothing more until the other side gives up; without a deadline, it would not."""
    connection.settimeout(PATIENCE_SECONDS)
    while connection.recv(65536):
        pass


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Peer:
    """A TCP server whose ``behave`` is what happens on each of its connections."""

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = 0
        """So many connections it has closed."""
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="peer-accept")
        self._accepting.start()

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{TARGET}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name="peer")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection:
                self._behave(connection)
        self.ended += 1

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(PATIENCE_SECONDS)
        for connection in self._open:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
        for connection in self._open:
            connection.close()


Start = Callable[..., Peer]
Make = Callable[..., RequestsTransport]


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED_BODY = b"5\r\n" + BODY[:5] + b"\r\n%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\n\r\n"
CHUNKED = CHUNKED_HEAD + CHUNKED_BODY


def asked(*steps: Behaviour) -> Behaviour:
    """Read a request before each of these."""

    def behave(connection: socket.socket) -> None:
        for step in steps:
            if not read_request(connection):
                return
            step(connection)

    return behave


def serve(*octets: bytes, then: Behaviour | None = None) -> Behaviour:
    """Answer requests one after another, the last of ``octets`` again and again."""

    def behave(connection: socket.socket) -> None:
        number = 0
        while read_request(connection):
            connection.sendall(octets[min(number, len(octets) - 1)])
            number += 1
            if then is not None:
                then(connection)
                return

    return behave


def failure_of(transport: RequestsTransport, url: str) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport.exchange(url)
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + error.advice
    for hidden in ("AKIDEXAMPLE", "KX3BX", "SIW", "signature="):
        assert hidden not in shown
    assert error.__cause__ is None
    assert error.__context__ is None
    assert error.advice.endswith(".")
    return error


class Authority:
    """A certificate authority, and a server with a certificate of it for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.file = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.file)
        self.server = self._context(authority.issue_cert("127.0.0.1", "hpc.example"))
        self.server_for_others = self._context(authority.issue_cert("other.example"))
        self.stranger = self._context(trustme.CA().issue_cert("127.0.0.1"))

    @staticmethod
    def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context


class JumpingClock(SystemClock):
    """Real, but for a jump: hours pass in a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped_seconds = 0.0

    def monotonic_seconds(self) -> float:
        return super().monotonic_seconds() + self.jumped_seconds


class Proxy:
    """A proxy's behaviour: takes absolute URLs and tunnels."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, connection: socket.socket) -> None:
        while request := read_request(connection):
            line = request.split(b"\r\n")[0].decode()
            self.lines.append(line)
            method, target, _ = line.split()
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._tunnel(connection, host, int(port))
                return
            connection.sendall(answer())

    @staticmethod
    def _tunnel(connection: socket.socket, host: str, port: int) -> None:
        del host  # whatever the name, it is here
        with socket.create_connection(("127.0.0.1", port)) as other:
            ends = {connection: other, other: connection}
            while True:
                for end in select.select(list(ends), [], [], PATIENCE_SECONDS)[0]:
                    part = end.recv(65536)
                    if not part:
                        return
                    ends[end].sendall(part)
