"""Listening, and the limits that protect other clients from bad ones. uvicorn does the HTTP.

One event loop in one named thread. Clients that send nothing, drip their request or do not read
the answer are cut off after a while; when there are too many connections, one makes room for the
new one, so that a scrape always gets in.
"""

import asyncio
import logging
import resource
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import uvicorn

from exporter.web.app import WebApp
from exporter.web.connection import Connection, Limits
from exporter.web.crowd import Crowd, peer_of
from exporter.web.listening import ListenError, bind

_LOG = logging.getLogger(__name__)
_START_SECONDS = 10
_STOP_SECONDS = 5
_NO_DESCRIPTOR_SECONDS = 0.1
"""How long nobody is accepted when that has just failed."""
_QUIET_SECONDS = 3600.0
"""Between two lines about that."""


class _Server(uvicorn.Server):
    """uvicorn's server on our sockets, with our limits."""

    def __init__(
        self, config: uvicorn.Config, limits: Limits, tls: ssl.SSLContext | None,
        on_started: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__(config)
        self.crowd: Crowd[Connection] = Crowd(limits.connections, limits.handshakes)
        self._kind = type(
            "_LimitedConnection", (Connection,), {"limits": limits, "crowd": self.crowd}
        )
        self._tls = tls
        self._tls_seconds = limits.handshake_seconds if tls else None
        self._on_started = on_started
        self._accepting = False
        self._said_at_seconds = -_QUIET_SECONDS

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen. Not by asyncio's servers: they show a connection after its handshake."""
        self.servers = []
        self._accepting = True
        for sock in sockets or []:
            sock.settimeout(0)
            self._watch(sock)
        self.started = True
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second: cut off, once a second, who takes too long."""
        if counter % 10 == 0:
            for connection in self.crowd:
                connection.cut_off_if_overdue()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, give answers under way a moment, end the rest."""
        self._accepting = False
        for sock in sockets or []:
            asyncio.get_running_loop().remove_reader(sock)
        await super().shutdown(sockets)
        for connection in self.crowd:
            connection.abort()
        await asyncio.sleep(0)

    def _watch(self, sock: socket.socket) -> None:
        if self._accepting:
            asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        """Take one client in: the loop calls again while more are waiting."""
        try:
            client, address = sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._cannot_accept(sock, error)
            return
        connection = self._kind(
            peer_of(address[0]), config=self.config, server_state=self.server_state, app_state={}
        )
        self.crowd.enter(connection)
        task = connection.entering = asyncio.create_task(self._take_in(connection, client))
        task.add_done_callback(lambda task: self._taken_in(connection, client, task))

    def _cannot_accept(self, sock: socket.socket, error: OSError) -> None:
        """Most likely the process has no file descriptor left: have one set free, and wait."""
        loop = asyncio.get_running_loop()
        self.crowd.make_room()
        loop.remove_reader(sock)
        loop.call_later(_NO_DESCRIPTOR_SECONDS, self._watch, sock)
        if loop.time() - self._said_at_seconds >= _QUIET_SECONDS:
            self._said_at_seconds = loop.time()
            _LOG.warning(
                "a connection could not be accepted; raise the limit of open files if this lasts",
                extra={"cause": error.strerror or str(error)},
            )

    async def _take_in(self, connection: Connection, client: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: connection, client, ssl=self._tls,
            ssl_handshake_timeout=self._tls_seconds, ssl_shutdown_timeout=self._tls_seconds,
        )  # fmt: skip

    def _taken_in(
        self, connection: Connection, client: socket.socket, task: "asyncio.Task[None]"
    ) -> None:
        connection.entering = None  # else they would hold each other, and the handshake's memory
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OSError):  # else it is the client's
            _LOG.error("a connection could not be handled", exc_info=error)
        if not connection.is_open:
            self.crowd.leave(connection)
            client.close()


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
        limits = replace(limits, connections=_room(limits.connections))
        config = uvicorn.Config(
            app,
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
        self._failure: Exception | None = None

    def bind(self) -> list[tuple[str, int]]:
        """Take all addresses, or none and raise ListenError. Gives hosts and ports as they are."""
        try:
            for address in self._listen_addresses:
                self._sockets.append(bind(address))
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
            raise ListenError("the web server did not start; the log says why") from self._failure

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
        except Exception as error:
            self._failure = error
            _LOG.exception("the web server ended")
        finally:
            self._started.set()

    def _close_sockets(self) -> None:
        while self._sockets:
            self._sockets.pop().close()


def _room(connections: int) -> int:
    """So many, but at most half of the files that the process may open: others need theirs."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return connections
    return min(connections, descriptors // 2)
