"""One client's connection: uvicorn's, which also knows what it is doing and for how long."""

import asyncio
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from exporter.web.crowd import Crowd, Phase


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take."""

    connections: int = 128
    """At once; never more than half of the file descriptors that the process may have."""
    handshakes: int = 32
    """TLS handshakes at once; each costs a quarter of a megabyte."""
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


class Connection(H11Protocol):
    """A client's connection, from the moment at which it is accepted."""

    limits: Limits
    crowd: "Crowd[Connection]"
    """Both set by a subclass made for one server."""

    def __init__(self, peer: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.peer = peer
        self.since: float = self.loop.time()
        self.entering: asyncio.Task[Any] | None = None
        """The handshake."""
        self._looked_at: tuple[Phase, object] = (Phase.HANDSHAKE, None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The handshake is done."""
        super().connection_made(transport)
        self.since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self.crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Look at what came, by the piece: h11 limits only headers whose end is still to come, and
        all of a large one may come at once."""
        step = self.limits.header_bytes + 1
        for start in range(0, len(data), step):
            if not self.transport.is_closing():
                super().data_received(data[start : start + step])

    def current_phase(self) -> Phase:
        """What it is doing."""
        if not self.is_open:
            return Phase.HANDSHAKE
        cycle = self.cycle
        if not cycle:
            return Phase.ASKING
        if not cycle.response_complete or self.transport.get_write_buffer_size():
            return Phase.ANSWERING
        if self.conn.trailing_data[0] or self.conn.their_state is not h11.IDLE:
            return Phase.ASKING
        return Phase.IDLE

    @property
    def is_open(self) -> bool:
        """Whether its handshake is done."""
        return self.transport is not None  # uvicorn's type says that it always is

    def cut_off_if_overdue(self) -> None:
        """End the connection if it has been asking or taking its answer for too long."""
        now = self.loop.time()
        looked_at = (self.current_phase(), self.cycle)
        if looked_at != self._looked_at:
            self._looked_at, self.since = looked_at, now
            return
        allowed = {
            Phase.HANDSHAKE: self.limits.handshake_seconds,
            Phase.ASKING: self.limits.request_seconds,
            Phase.ANSWERING: self.limits.answer_seconds,
            Phase.IDLE: self.limits.idle_seconds,
        }[looked_at[0]]
        if now - self.since > allowed:
            self.abort()

    def abort(self) -> None:
        """End the connection at once, whatever is still to be sent."""
        self.crowd.leave(self)
        self.connections.discard(self)
        if self.is_open:
            self.transport.abort()
        elif self.entering is not None:
            self.entering.cancel()
