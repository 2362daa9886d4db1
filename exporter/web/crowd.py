"""How many clients may be connected, and which connection is closed for a new one. Pure.

A connection counts from the moment at which it is accepted: its handshake, which takes the most
memory of all, is still to come then. Whoever has most connections makes room: so none can have more
than its part once all places are taken, and a scrape always gets in.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from typing import Generic, Protocol, TypeVar


class Phase(IntEnum):
    """What a connection is doing; the lower, the sooner it has to make room."""

    HANDSHAKE = 0
    ASKING = 1
    IDLE = 2
    ANSWERING = 3


class Member(Protocol):
    """A connection as the crowd sees it."""

    peer: str
    since: float
    """When its phase began."""

    def current_phase(self) -> Phase:
        """What it is doing."""
        ...

    def abort(self) -> None:
        """End it at once."""
        ...


Connection = TypeVar("Connection", bound=Member)


class Crowd(Generic[Connection]):
    """All connections of a server. For one thread."""

    def __init__(self, connections: int, handshakes: int) -> None:
        """At most so many at once, and so many of them in their handshake."""
        self._connections = connections
        self._handshakes = handshakes
        self._members: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Connection]:
        """A copy, so that members may leave meanwhile."""
        return iter(list(self._members))

    def enter(self, newcomer: Connection) -> None:
        """Take a connection in; another one makes room if there are too many."""
        handshakes = [each for each in self if each.current_phase() is Phase.HANDSHAKE]
        if len(handshakes) >= self._handshakes:
            self._end_worst(handshakes)
        elif len(self) >= self._connections:
            self.make_room()
        self._members[newcomer] = None

    def leave(self, member: Connection) -> None:
        """It has ended, or been ended."""
        self._members.pop(member, None)

    def make_room(self) -> None:
        """End the one whose peer has most, and of that peer's the one of least use."""
        if self._members:
            self._end_worst(list(self._members))

    def _end_worst(self, candidates: list[Connection]) -> None:
        parts = Counter(each.peer for each in candidates)
        worst = min(
            candidates, key=lambda each: (-parts[each.peer], each.current_phase(), each.since)
        )
        self.leave(worst)
        worst.abort()


def peer_of(host: str) -> str:
    """Whom an address belongs to: a host has one of IPv4, and a whole network of IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
