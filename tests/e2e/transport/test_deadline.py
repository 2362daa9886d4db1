"""Peers that take their time: the deadline is for the whole exchange."""

import socket
import struct
import threading
from typing import Any

import pytest

from exporter.errors import TransportError
from tests.e2e.transport.peers import (
    BODY,
    CHUNKED,
    CHUNKED_BODY,
    CHUNKED_HEAD,
    TARGET,
    TIMEOUT_SECONDS,
    Authority,
    Behaviour,
    JumpingClock,
    Make,
    Start,
    answer,
    asked,
    drip,
    failure_of,
    hold,
    read_request,
    serve,
)
from tests.waiting import PATIENCE_SECONDS, until

LONG_SECONDS = 3600.0
"""A deadline at which nobody waits for its end."""


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(hold, id="silence"),
        pytest.param(lambda it: drip(it, answer() * 99), id="drips the status line"),
        pytest.param(
            lambda it: (it.sendall(b"HTTP/1.1 200 OK\r\nX: "), drip(it, b"x" * 2000)),
            id="drips a header",
        ),
        pytest.param(lambda it: drip(it, b"HTTP/1.1 100 Continue\r\n\r\n" * 99), id="drips 100s"),
        pytest.param(
            lambda it: (it.sendall(b"HTTP/1.1 200 OK\r\n"), hold(it)), id="stalls in headers"
        ),
        pytest.param(
            lambda it: (it.sendall(answer(b"{", length=3000)), drip(it, b" " * 2000)),
            id="drips the body",
        ),
        pytest.param(
            lambda it: (it.sendall(answer(b"{", length=3000)), hold(it)), id="stalls in the body"
        ),
        pytest.param(
            lambda it: (it.sendall(CHUNKED_HEAD + CHUNKED_BODY[:8]), drip(it, b"\r\n1\r\n " * 999)),
            id="drips chunks",
        ),
        pytest.param(
            lambda it: (it.sendall(CHUNKED[:-2]), drip(it, b"X: y\r\n" * 999)),
            id="drips trailers",
        ),
        pytest.param(
            lambda it: (it.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), drip(it, b" " * 2000)),
            id="drips without a length",
        ),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_deadline_is_for_the_whole_exchange(
    peer: Start, transport: Make, authority: Authority, scheme: str, behave: Behaviour
) -> None:
    server = peer(asked(behave), authority.server if scheme == "https" else None)
    client = transport(TIMEOUT_SECONDS, ca_file=authority.file)
    error = failure_of(client, server.url(scheme))
    assert (error.reason, error.retryable) == ("timeout", True)
    assert str(error) == "no complete answer from 127.0.0.1 within 0.6 s"


def test_the_deadline_holds_on_a_kept_connection(peer: Start, transport: Make) -> None:
    clock = JumpingClock()

    def drip_for_long(connection: socket.socket) -> None:
        clock.jumped_seconds += LONG_SECONDS
        drip(connection, answer() * 99)

    server = peer(asked(lambda it: it.sendall(answer()), drip_for_long))
    client = transport(LONG_SECONDS, clock=clock)
    client.exchange(server.url())
    assert failure_of(client, server.url()).reason == "timeout"
    assert server.connections == 1


def test_a_late_stall_has_only_what_is_left(peer: Start, transport: Make) -> None:
    clock = JumpingClock()

    def stall(connection: socket.socket) -> None:
        clock.jumped_seconds += LONG_SECONDS
        connection.sendall(answer(b"{", length=3000))
        hold(connection)

    client = transport(LONG_SECONDS, clock=clock)
    assert failure_of(client, peer(asked(stall)).url()).reason == "timeout"


def test_a_slow_answer_within_the_deadline_is_fine(peer: Start, transport: Make) -> None:
    server = peer(asked(lambda it: drip(it, answer(b"{}"))))
    assert transport().exchange(server.url()).body == b"{}"


def test_after_a_timeout_the_connection_is_not_used_again(peer: Start, transport: Make) -> None:
    clock = JumpingClock()

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        if server.connections == 1:
            clock.jumped_seconds += LONG_SECONDS
            connection.sendall(answer()[:9])
            hold(connection)
        connection.sendall(answer())

    server = peer(behave)
    client = transport(LONG_SECONDS, clock=clock)
    assert failure_of(client, server.url()).reason == "timeout"
    assert client.exchange(server.url()).body == BODY


def test_a_tls_handshake_that_stalls(peer: Start, transport: Make, authority: Authority) -> None:
    server = peer(hold)
    error = failure_of(transport(TIMEOUT_SECONDS, ca_file=authority.file), server.url("https"))
    assert error.reason == "timeout"


def test_a_tls_handshake_that_drips(peer: Start, transport: Make, authority: Authority) -> None:
    header = struct.pack("!BHH", 22, 0x0303, 4000)  # a record that promises 4000 bytes
    server = peer(lambda it: drip(it, header + b"\x02" * 4000))
    error = failure_of(transport(TIMEOUT_SECONDS, ca_file=authority.file), server.url("https"))
    assert error.reason == "timeout"


def test_a_name_service_that_stalls(transport: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    goes_on = threading.Event()

    def stall(host: str, *_: Any) -> list[Any]:
        asked.append(host)
        goes_on.wait(PATIENCE_SECONDS)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", stall)
    client = transport(TIMEOUT_SECONDS)
    for _ in range(2):
        error = failure_of(client, f"http://hpc.example{TARGET}")
        assert error.reason == "timeout"
    until(lambda: asked, "the look-up, whose thread may begin late")
    assert asked == ["hpc.example"]  # one look-up under way is enough
    goes_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("resolve-"):
            thread.join(PATIENCE_SECONDS)
    assert failure_of(client, f"http://hpc.example{TARGET}").reason == "connection"
    assert len(asked) == 2


def test_an_address_that_swallows_packets_leaves_time_for_the_next(
    peer: Start, transport: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = peer(serve(answer()))
    real = socket.getaddrinfo
    # A listener with a full queue swallows connections, as a firewall does.
    with socket.create_server(("127.0.0.2", server.port), backlog=0) as full:
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(full.getsockname())

        def two(host: str, *rest: Any) -> list[Any]:
            if host != "hpc.example":
                return real(host, *rest)
            return [entry for ip in ("127.0.0.2", "127.0.0.1") for entry in real(ip, *rest)]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        got = transport(10.0).exchange(server.url(host="hpc.example"))
        for filler in fillers:
            filler.close()
    assert got.body == BODY
    assert got.elapsed_seconds > 1.0  # else the first address took the connection


def test_close_ends_what_is_under_way(peer: Start, transport: Make, authority: Authority) -> None:
    waiting = threading.Barrier(3)

    def wait(connection: socket.socket) -> None:
        waiting.wait(PATIENCE_SECONDS)
        hold(connection)

    client = transport(3 * PATIENCE_SECONDS, ca_file=authority.file)
    urls = [peer(asked(wait)).url(), peer(asked(wait), authority.server).url("https")]
    errors: list[TransportError] = []
    threads = [
        threading.Thread(target=lambda url=url: errors.append(failure_of(client, url)))
        for url in urls
    ]
    for thread in threads:
        thread.start()
    waiting.wait(PATIENCE_SECONDS)
    client.close()
    for thread in threads:
        thread.join(PATIENCE_SECONDS / 2)
        assert not thread.is_alive(), "it ends before the peer gives up"
    assert [error.reason for error in errors] == ["connection"] * 2
    assert failure_of(client, urls[0]).reason == "connection"
