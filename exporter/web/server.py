"""Listening, and the limits that keep bad clients from hurting good ones. uvicorn does the HTTP.

One event loop in one named thread. Clients that send nothing, drip their request or do not read
the answer are cut off after a while; when there are too many connections, the one that has been
of least use for longest makes room for the new one, so that a scrape always gets in.
"""

import asyncio
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from exporter.errors import ExporterError
from exporter.web.app import WebApp

_LOG = logging.getLogger(__name__)
_START_SECONDS = 10
_STOP_SECONDS = 5


class ListenError(ExporterError):
    """An address cannot be listened on. The message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take."""

    connections: int = 512
    header_bytes: int = 16_384
    handshake_seconds: float = 5.0
    """For TLS."""
    request_seconds: float = 10.0
    """From connecting, or from the first byte of a further request, to the end of its header."""
    answer_seconds: float = 30.0
    """To take the answer."""
    idle_seconds: int = 120
    """Between two requests; longer than usual scrape intervals, so that connections are reused."""
    stop_seconds: int = 2
    """For answers under way when the program stops."""


class _Phase(IntEnum):
    """What a connection is doing; the lower, the sooner it has to make room."""

    ASKING = 1
    IDLE = 2
    ANSWERING = 3


class _Connection(H11Protocol):
    """uvicorn's connection, with a look at what it is doing."""

    limits: Limits
    """Set by a subclass made for one server; uvicorn makes the connections."""

    phase: tuple[_Phase, object] = (_Phase.ASKING, None)
    since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the new connection in; another makes room if there are too many."""
        super().connection_made(transport)
        self.since = self.loop.time()
        if len(self.connections) > self.limits.connections:
            others = (c for c in self.connections if isinstance(c, _Connection) and c is not self)
            worst = min(others, key=lambda c: (c.current_phase()[0], c.since))
            worst.abort()

    def data_received(self, data: bytes) -> None:
        """Look at what came, by the piece: h11 limits only headers whose end is still to come, and
        all of a large one may come at once."""
        step = self.limits.header_bytes + 1
        for start in range(0, len(data), step):
            if not self.transport.is_closing():
                super().data_received(data[start : start + step])

    def current_phase(self) -> tuple[_Phase, object]:
        """What it is doing, and in the course of which request."""
        cycle = self.cycle
        if not cycle:
            return _Phase.ASKING, None
        if not cycle.response_complete or self.transport.get_write_buffer_size():
            return _Phase.ANSWERING, cycle
        if self.conn.trailing_data[0] or self.conn.their_state is not h11.IDLE:
            return _Phase.ASKING, cycle
        return _Phase.IDLE, cycle

    def cut_off_if_overdue(self) -> None:
        """End the connection if it has been asking or taking its answer for too long."""
        now = self.loop.time()
        phase = self.current_phase()
        if phase != self.phase:
            self.phase, self.since = phase, now
            return
        allowed = {
            _Phase.ASKING: self.limits.request_seconds,
            _Phase.ANSWERING: self.limits.answer_seconds,
            _Phase.IDLE: self.limits.idle_seconds,
        }[phase[0]]
        if now - self.since > allowed:
            self.abort()

    def abort(self) -> None:
        """End the connection at once, whatever is still to be sent."""
        self.connections.discard(self)
        self.transport.abort()


class _Server(uvicorn.Server):
    """uvicorn's server on our sockets, with our limits."""

    def __init__(
        self, config: uvicorn.Config, limits: Limits, tls: ssl.SSLContext | None,
        on_started: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__(config)
        self._limits = limits
        self._tls = tls
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        loop = asyncio.get_running_loop()
        timeout = self._limits.handshake_seconds if self._tls else None
        self.servers = [
            await loop.create_server(
                self._connection, sock=sock, ssl=self._tls, backlog=self.config.backlog,
                ssl_handshake_timeout=timeout, ssl_shutdown_timeout=timeout,
            )
            for sock in sockets or []
        ]  # fmt: skip
        self.started = True
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second: cut off, once a second, who takes too long."""
        if counter % 10 == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, _Connection):
                    connection.cut_off_if_overdue()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, give answers under way a moment, end the rest."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Connection):
                connection.abort()
        await asyncio.sleep(0)

    def _connection(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state={})  # type: ignore[no-any-return]


class WebServer:
    """The web side of the program: ``bind``, ``start``, ``stop``, in this order."""

    def __init__(
        self,
        app: WebApp,
        listen_addresses: Sequence[str],
        *,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._listen_addresses = tuple(listen_addresses)
        self._sockets: list[socket.socket] = []
        self._started = threading.Event()
        limits = limits or Limits()
        config = uvicorn.Config(
            app,
            http=type("_LimitedConnection", (_Connection,), {"limits": limits}),
            ws="none",
            lifespan="off",
            loop="asyncio",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=128,
            timeout_keep_alive=limits.idle_seconds,
            timeout_graceful_shutdown=limits.stop_seconds,
            h11_max_incomplete_event_size=limits.header_bytes,
        )
        self._server = _Server(config, limits, tls, self._started.set)
        self._thread: threading.Thread | None = None

    def bind(self) -> list[tuple[str, int]]:
        """Take all addresses, or none and raise ListenError. Gives hosts and ports as they are."""
        try:
            for address in self._listen_addresses:
                self._sockets.append(_bind(address))
        except ListenError:
            self._close_sockets()
            raise
        return [sock.getsockname()[:2] for sock in self._sockets]

    def start(self) -> None:
        """Serve, in a thread of its own, until ``stop``. Raises ListenError if that fails."""
        # uvicorn logs a line for every client that talks nonsense: anybody could fill the log.
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()
        if not self._started.wait(_START_SECONDS) or not self.alive:
            raise ListenError("the web server did not start; the log says why")

    def stop(self) -> None:
        """End within five seconds, answers under way first."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        self._close_sockets()

    @property
    def alive(self) -> bool:
        """Whether it is serving."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._server.run(sockets=self._sockets)
        except Exception:
            _LOG.exception("the web server ended")
        finally:
            self._started.set()

    def _close_sockets(self) -> None:
        while self._sockets:
            self._sockets.pop().close()


def parse_listen_address(text: str) -> tuple[str, int]:
    """``:10046``, ``[::]:10046`` or ``host:10046`` -> host (empty: all) and port.

    Raises ListenError.
    """
    match = re.fullmatch(
        r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]{1,5})", text
    )
    if match is None or int(match["port"]) > 65_535:
        raise ListenError(
            f"{text!r} is no address to listen on; write :PORT, HOST:PORT or [IPv6]:PORT"
        )
    return match["six"] or match["host"] or "", int(match["port"])


def _bind(address: str) -> socket.socket:
    host, port = parse_listen_address(address)
    try:
        if not host and _dual_stack():
            host = "::"
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)  # noqa: S104 - asked for
        # Of a name with addresses of both kinds the IPv4 one, as other exporters of Prometheus do.
        info = min(found, key=lambda each: each[0] != socket.AF_INET)
        # The protocol is named because asyncio switches Nagle's delay off only where it is.
        sock = socket.socket(info[0], socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror or error}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if info[0] == socket.AF_INET6:
            both = host == "::"
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        sock.bind(info[4])
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise ListenError(f"cannot listen on {address}: {error.strerror or error}") from error
    return sock


def _dual_stack() -> bool:
    """Whether one IPv6 socket can serve IPv4 too, as it does nearly everywhere."""
    return socket.has_ipv6 and socket.has_dualstack_ipv6()
