"""Connections with a deadline: no wait is longer than the time that is left.

urllib3 takes a ``Timeout`` for each request and turns it into ``connection.timeout`` before each
step. With ``Deadline`` in its place, that is always the time that is left. The connections here use it
where urllib3 would wait for longer: for looking up the name, for each of several addresses, and for
each read, as a peer that sends a byte at a time can cause any number of reads.
"""

import http.client
import io
import socket
import threading
from concurrent.futures import Future
from typing import Any
from weakref import WeakSet

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family, create_connection

from exporter.clock import Clock

_LEAST_SECONDS = 0.001  # to a socket, 0 would mean not to wait at all, and less is an error


class Deadline(Timeout):
    """What is left until a moment of the monotonic clock, for whoever asks for a timeout."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._until_seconds = clock.monotonic_seconds() + seconds

    def clone(self) -> "Deadline":
        """urllib3 clones the timeout of each request; a deadline stays the same one."""
        return self

    @property
    def passed(self) -> bool:
        """Whether nothing is left."""
        return self._clock.monotonic_seconds() >= self._until_seconds

    @property
    def connect_timeout(self) -> float:
        """Seconds left, for connecting."""
        return max(_LEAST_SECONDS, self._until_seconds - self._clock.monotonic_seconds())

    @property
    def read_timeout(self) -> float:
        """Seconds left, for reading; 0 makes urllib3 give up at once."""
        return max(0.0, self._until_seconds - self._clock.monotonic_seconds())


class Network:
    """What the connections of one transport share: the clock, name look-ups, open sockets."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._lookups: dict[tuple[str, int], Future[list[str]]] = {}
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def addresses(self, host: str, port: int, seconds: float) -> list[str]:
        """The host's addresses. Raises TimeoutError, or OSError from the resolver.

        A look-up cannot be interrupted, so it has a thread of its own, which ends with the
        resolver's own patience; who asks for the same name meanwhile waits for the same thread.
        """
        key = (host, port)
        with self._lock:
            lookup = self._lookups.get(key)
            if lookup is None:
                lookup = self._lookups[key] = Future()
                threading.Thread(
                    target=self._look_up, args=(key, lookup), name=f"resolve-{host}", daemon=True
                ).start()
        return lookup.result(timeout=seconds)

    def _look_up(self, key: tuple[str, int], lookup: Future[list[str]]) -> None:
        try:
            found = socket.getaddrinfo(*key, allowed_gai_family(), socket.SOCK_STREAM)
        except Exception as error:
            outcome: list[str] | Exception = error
        else:
            outcome = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        with self._lock:
            del self._lookups[key]
        if isinstance(outcome, Exception):
            lookup.set_exception(outcome)
        else:
            lookup.set_result(outcome)

    def opened(self, sock: socket.socket) -> None:
        """Remember a socket for as long as it is in use."""
        with self._lock:
            self._sockets.add(sock)

    def break_off(self) -> None:
        """Make everyone who waits for a peer stop waiting, with an error."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            try:
                # Not the method of an SSLSocket: that one changes the object under its user.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                continue  # closed meanwhile


class _Reader(io.RawIOBase):
    """A socket's bytes until a deadline."""

    def __init__(self, sock: socket.socket, clock: Clock, until_seconds: float) -> None:
        self._socket = sock
        self._file = sock.makefile("rb", buffering=0)
        self._clock = clock
        self._until_seconds = until_seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_seconds = self._until_seconds - self._clock.monotonic_seconds()
        if left_seconds < _LEAST_SECONDS:
            raise TimeoutError("the deadline has passed")
        self._socket.settimeout(left_seconds)
        return self._file.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Source:
    """The one thing that http.client asks of a socket when it reads an answer."""

    def __init__(self, sock: socket.socket, clock: Clock, until_seconds: float) -> None:
        self._reader = _Reader(sock, clock, until_seconds)

    def makefile(self, mode: str) -> io.BufferedReader:
        del mode  # always "rb"
        return io.BufferedReader(self._reader)


class _KeepsDeadline(HTTPConnection):
    """A connection whose ``timeout`` is what is left at the moment at which urllib3 sets it."""

    network: Network
    _until_seconds = 0.0

    def _start(self) -> None:
        left_seconds = self.timeout or _LEAST_SECONDS
        self._until_seconds = self.network.clock.monotonic_seconds() + left_seconds

    def _left_seconds(self) -> float:
        now_seconds = self.network.clock.monotonic_seconds()
        return max(_LEAST_SECONDS, self._until_seconds - now_seconds)

    def _new_conn(self) -> socket.socket:
        self._start()
        host = self.host.strip("[]")
        try:
            addresses = self.network.addresses(host, self.port, self._left_seconds())
        except TimeoutError:
            raise ConnectTimeoutError(self, "no answer from the name service in time") from None
        except socket.gaierror as error:
            raise NameResolutionError(host, self, error) from error
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, "the name cannot be looked up") from error
        sock = self._connect_to(addresses)
        # TLS comes next, and waits for as long as the socket is told to.
        sock.settimeout(self._left_seconds())
        self.network.opened(sock)
        return sock

    def _connect_to(self, addresses: list[str]) -> socket.socket:
        failure: Exception = OSError("the name has no address")
        for position, address in enumerate(addresses):
            # A fair part for each, so that one that swallows packets leaves time for the next.
            seconds = self._left_seconds() / (len(addresses) - position)
            try:
                return create_connection(
                    (address, self.port),
                    seconds,
                    source_address=self.source_address,
                    socket_options=self.socket_options,
                )
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, "no connection in time") from failure
        raise NewConnectionError(self, "no connection") from failure

    def connect(self) -> None:
        """Connect, through the proxy and TLS if need be."""
        super().connect()
        if isinstance(self.sock, socket.socket):  # else TLS within a proxy's TLS
            self.network.opened(self.sock)

    def getresponse(self) -> Any:
        """Wait for the answer's headers."""
        self._start()
        return super().getresponse()

    def response_class(  # type: ignore[override] # called as the class would be
        self, sock: socket.socket, *args: Any, **kwargs: Any
    ) -> http.client.HTTPResponse:
        """An answer, of this connection's peer or of the proxy, read until the deadline."""
        source: Any = _Source(sock, self.network.clock, self._until_seconds)
        return http.client.HTTPResponse(source, *args, **kwargs)


def pool_classes(network: Network) -> dict[str, type[HTTPConnectionPool]]:
    """Connection pools by URL scheme, whose connections keep their deadlines."""

    class Connection(_KeepsDeadline):
        pass

    class SecureConnection(_KeepsDeadline, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    Connection.network = SecureConnection.network = network
    return {"http": Pool, "https": SecurePool}
