"""The addresses to listen on: their format, and their sockets."""

import errno
import re
import socket

from exporter.errors import ExporterError

_IN_USE = "; stop what listens there, or choose another address by --web.listen-address"


class ListenError(ExporterError):
    """An address cannot be listened on. The message is one line for the operator."""


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


def bind(address: str) -> socket.socket:
    """A socket that listens on the address. Raises ListenError."""
    host, port = parse_listen_address(address)
    try:
        if not host and _dual_stack():
            host = "::"
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)  # noqa: S104 - asked for
        # Of a name with addresses of both kinds the IPv4 one, as other exporters of Prometheus do.
        info = min(found, key=lambda each: each[0] != socket.AF_INET)
        # The protocol is named because asyncio switches Nagle's delay off only where it is.
        sock = socket.socket(info[0], socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except UnicodeError as error:  # a part of a name is empty, or too long
        raise ListenError(f"cannot listen on {address}: that is no name of a host") from error
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
        advice = _IN_USE if error.errno == errno.EADDRINUSE else ""
        raise ListenError(
            f"cannot listen on {address}: {error.strerror or error}{advice}"
        ) from error
    return sock


def _dual_stack() -> bool:
    """Whether one IPv6 socket can serve IPv4 too, as it does nearly everywhere."""
    return socket.has_ipv6 and socket.has_dualstack_ipv6()
