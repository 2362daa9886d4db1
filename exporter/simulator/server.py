"""The simulated cloud on a socket: HTTP/1.1 with keep-alive, and whatever a fault does to it."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple, cast

from exporter.simulator.admin import PREFIX, Admin
from exporter.simulator.answers import Answer, Ending, Part, html_answer
from exporter.simulator.simulation import Simulation

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 16 * 1024 * 1024
_TICK_SECONDS = 0.2
_FLUSH_SECONDS = 0.05
_START_SECONDS = 30.0
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class _Request(NamedTuple):
    method: str
    path: str
    raw_query: str
    body: bytes
    keep_alive: bool


class SimulatorServer:
    """Serves a simulation on a thread of its own, named ``simulator``, from ``start`` to ``stop``."""

    def __init__(
        self,
        simulation: Simulation,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_seconds: float = 0.0,
        clock_skew_seconds: float = 0.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Port 0 takes a free one. The skew moves the server's own clock, also that of ``Date``."""
        self.simulation = simulation
        self.latency_seconds = latency_seconds
        self.clock_skew_seconds = clock_skew_seconds
        self.connections = 0
        """Accepted since the start."""
        self._where = (host, port)
        self._ssl_context = ssl_context
        self._admin = Admin(simulation)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._started = threading.Event()
        self._failure: OSError | None = None
        self._port = port
        self._open: set[_Connection] = set()

    @property
    def address(self) -> str:
        """As ``http://127.0.0.1:18080``; known once started."""
        scheme = "https" if self._ssl_context else "http"
        host = f"[{self._where[0]}]" if ":" in self._where[0] else self._where[0]
        return f"{scheme}://{host}:{self._port}"

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop, and still runs or has ended."""
        return self._stopping is not None and self._stopping.is_set()

    def start(self) -> None:
        """Listen; returns once requests are answered. ``OSError`` if the address cannot be used."""
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise OSError("the simulator did not start")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Cut all connections and end the thread."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop is over already
                self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> "SimulatorServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def server_at(self) -> float:
        """The server's own time."""
        return time.time() + self.clock_skew_seconds

    def respond(self, request: _Request) -> Answer:
        """The answer to one request, of the API or of the admin routes."""
        if request.path.startswith(PREFIX):
            return self._admin.handle(
                request.method, request.path, request.raw_query, request.body, time.time()
            )
        return self.simulation.handle(
            request.method, request.path, request.raw_query, self.server_at()
        )

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
        except UnicodeError:  # a part of a name is empty, or too long
            self._failure = OSError("that is no name of a host")
        except (ValueError, OverflowError) as error:
            self._failure = OSError(str(error))
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        host, port = self._where
        server = await self._loop.create_server(
            lambda: _Connection(self, self._open), host, port, ssl=self._ssl_context, backlog=512
        )
        self._port = server.sockets[0].getsockname()[1]
        ticking = asyncio.create_task(self._tick())
        self._started.set()
        await self._stopping.wait()
        for listening in server.sockets:
            self._loop.remove_reader(listening)
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        # Not before: asyncio would drop a client that was accepted in the turn of the stop, and leave its socket open.
        server.close()
        for connection in list(self._open):
            connection.cut()
        await asyncio.sleep(0)

    async def _tick(self) -> None:
        while True:
            self.simulation.advance(time.time())
            self.simulation.look(self.server_at())
            await asyncio.sleep(_TICK_SECONDS)


class _Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other."""

    def __init__(self, server: SimulatorServer, peers: "set[_Connection]") -> None:
        self._server = server
        self._peers = peers
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._delivering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.connections += 1
        self._peers.add(self)
        if self._server.is_stopping:  # the others have been cut already
            self.cut()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._peers.discard(self)
        if self._delivering is not None:
            self._delivering.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._delivering is None:
            self._answer_received()

    def cut(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _answer_received(self) -> None:
        while self._transport is not None and self._delivering is None:
            try:
                request, self._received = _parse(self._received)
            except ValueError:
                self._send(html_answer(400, "Bad Request"), keep_alive=False)
                return
            if request is None:
                return
            latency = self._server.latency_seconds if request.path.startswith("/api/") else 0.0
            if latency > 0:
                self._delivering = asyncio.create_task(self._answer_later(request, latency))
                return
            self._deliver(request, self._server.respond(request))

    async def _answer_later(self, request: _Request, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._delivering = None
        self._deliver(request, self._server.respond(request))
        self._answer_received()

    def _deliver(self, request: _Request, answer: Answer) -> None:
        if answer.delivery.ending is Ending.WHOLE and not answer.delivery.delay_seconds:
            self._send(answer, keep_alive=request.keep_alive)
        else:
            self._delivering = asyncio.create_task(self._misdeliver(request, answer))

    def _send(self, answer: Answer, *, keep_alive: bool) -> None:
        if self._transport is None:
            return
        self._transport.write(self._head(answer, keep_alive=keep_alive) + answer.body)
        if not keep_alive:
            self._transport.close()

    def _head(self, answer: Answer, *, keep_alive: bool) -> bytes:
        """Status line and headers; a header with an empty value is left out."""
        headers = {
            "Server": "simulated-cloud",
            "Date": formatdate(self._server.server_at(), usegmt=True),
            "Content-Length": str(len(answer.body)),
            "Connection": "keep-alive" if keep_alive else "close",
            **answer.headers,
        }
        lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value]
        return "\r\n".join((*lines, "\r\n")).encode("latin-1")

    async def _misdeliver(self, request: _Request, answer: Answer) -> None:
        """Send an answer that does not travel as it should."""
        delivery = answer.delivery
        await asyncio.sleep(delivery.delay_seconds)
        if delivery.ending is Ending.WHOLE:
            self._delivering = None
            self._send(answer, keep_alive=request.keep_alive)
            self._answer_received()
            return
        head = b"" if answer.bare else self._head(answer, keep_alive=request.keep_alive)
        whole = head + answer.body
        sent = {
            Part.NOTHING: 0,
            Part.HEAD: len(head),
            Part.HALF: len(whole) if answer.bare else len(head) + len(answer.body) // 2,
        }[delivery.first]
        transport = self._transport
        if transport is None:
            return
        if sent:
            transport.write(whole[:sent])
            await asyncio.sleep(_FLUSH_SECONDS)
        if delivery.ending is Ending.CLOSE:
            transport.close()
        elif delivery.ending is Ending.RESET:
            _reset(transport)
        elif delivery.ending is Ending.STALL:
            await asyncio.Event().wait()
        elif delivery.ending is Ending.DRIP:
            await self._drip(transport, whole[sent:], delivery.gap_seconds)
        else:
            await self._flood(transport, whole[sent:], delivery.filler)

    async def _drip(self, transport: asyncio.Transport, rest: bytes, gap_seconds: float) -> None:
        for position in range(len(rest)):
            transport.write(rest[position : position + 1])
            await asyncio.sleep(gap_seconds)
        self._delivering = None
        self._answer_received()

    async def _flood(self, transport: asyncio.Transport, rest: bytes, filler: bytes) -> None:
        transport.write(rest)
        while True:
            await self._writable.wait()
            transport.write(filler)
            await asyncio.sleep(0)


def _reset(transport: asyncio.Transport) -> None:
    """Close with RST instead of FIN."""
    peer = transport.get_extra_info("socket")
    if peer is not None:
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _parse(received: bytes) -> tuple[_Request | None, bytes]:
    """The first request of what was received and the rest; None while it is not all there.

    ``ValueError`` if it is no request.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        if len(received) > _HEAD_LIMIT:
            raise ValueError("a head without end")
        return None, received
    first, *lines = received[:end].decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
    }
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _BODY_LIMIT:
        raise ValueError("a body too large")
    begin = end + 4
    if len(received) < begin + length:
        return None, received
    path, _, raw_query = target.partition("?")
    close = "close" in headers.get("connection", "").lower() or version != "HTTP/1.1"
    body = received[begin : begin + length]
    return _Request(method, path, raw_query, body, not close), received[begin + length :]
