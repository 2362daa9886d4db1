"""Peers that break, give too much, or send elsewhere."""

import gzip
import socket
import time
import tracemalloc

import pytest

from tests.e2e.transport.peers import (
    BODY,
    CHUNKED,
    CHUNKED_HEAD,
    DRIP_SECONDS,
    TARGET,
    Behaviour,
    Make,
    Start,
    answer,
    failure_of,
    hold,
    read_request,
    reset,
    serve,
)
from tests.ports import kept_port


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        pytest.param(lambda _: None, "the connection was closed without an answer", id="closes"),
        pytest.param(reset, "the connection failed: Connection reset by peer", id="resets"),
        pytest.param(
            lambda it: it.sendall(answer(length=999)),
            "the connection broke off in the middle of an answer",
            id="less than promised",
        ),
        pytest.param(
            lambda it: it.sendall(CHUNKED[:-12]),
            "the connection broke off in the middle of an answer",
            id="chunks without an end",
        ),
        pytest.param(
            lambda it: it.sendall(answer(gzip.compress(BODY * 99)[:-20], "Content-Encoding: gzip")),
            "the connection broke off in the middle of an answer",
            id="gzip without an end",
        ),
        pytest.param(
            lambda it: it.sendall(answer(b"no gzip", "Content-Encoding: gzip")),
            "the answer is not valid HTTP",
            id="gzip that is none",
        ),
        pytest.param(
            lambda it: it.sendall(answer(b"\x8b", "Content-Encoding: br")),
            "the answer has a content encoding that was not asked for",
            id="brotli",
        ),
        pytest.param(
            lambda it: it.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
            "the answer is not valid HTTP",
            id="another protocol",
        ),
        pytest.param(
            lambda it: it.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
            "the answer is not valid HTTP",
            id="a long header",
        ),
        pytest.param(
            lambda it: it.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
            "the answer is not valid HTTP",
            id="many headers",
        ),
        pytest.param(
            lambda it: it.sendall(CHUNKED_HEAD + b"zzz\r\n"),
            None,
            id="a chunk size in words",
        ),
    ],
)
def test_broken_answers(
    peer: Start, transport: Make, behave: Behaviour, message: str | None
) -> None:
    def broken(connection: socket.socket) -> None:
        read_request(connection)
        behave(connection)

    error = failure_of(transport(), peer(broken).url())
    assert (error.reason, error.retryable) == ("connection", True)
    if message is not None:
        assert str(error).partition(" (127.")[0] == message


def test_a_reset_in_the_middle_of_a_body(peer: Start, transport: Make) -> None:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer(b"{" * 5000, length=10**6))
        time.sleep(DRIP_SECONDS)  # a reset overtakes what has not been read yet
        reset(connection)

    assert failure_of(transport(), peer(behave).url()).reason == "connection"


def test_nobody_listens(transport: Make) -> None:
    with kept_port() as port:
        error = failure_of(transport(), f"http://127.0.0.1:{port}{TARGET}")
    assert str(error) == "the connection failed: Connection refused (127.0.0.1)"
    assert (error.reason, error.retryable) == ("connection", True)


@pytest.mark.parametrize(
    "url",
    [
        "http://no-such-host.invalid",
        "http://" + "x" * 300,
        "http://[::1",
        "http://",
        "ftp://x",
        "x",
        "http://a\ud800",
    ],
)
def test_addresses_that_are_none(transport: Make, url: str) -> None:
    assert failure_of(transport(), url + TARGET).reason in {"connection", "timeout"}


LIMIT_BYTES = 100_000


def flood(connection: socket.socket) -> None:
    while True:
        connection.sendall(b" " * 65536)


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(
            lambda it: (it.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), flood(it)), id="without a length"
        ),
        pytest.param(lambda it: (it.sendall(answer(length=10**12)), hold(it)), id="says so"),
        pytest.param(
            lambda it: it.sendall(answer(length="9" * 30)), id="says so with a huge number"
        ),
        pytest.param(
            lambda it: (
                it.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"),
                flood(it),
            ),
            id="a huge chunk",
        ),
        pytest.param(
            lambda it: it.sendall(
                answer(gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip")
            ),
            id="gzip bomb",
        ),
    ],
)
def test_floods(peer: Start, transport: Make, behave: Behaviour) -> None:
    def flooding(connection: socket.socket) -> None:
        read_request(connection)
        behave(connection)

    server = peer(flooding)
    error = failure_of(transport(max_answer_bytes=LIMIT_BYTES), server.url())
    assert (error.reason, error.retryable) == ("too_large", False)
    assert str(error) == "the answer is larger than 100000 bytes"


@pytest.mark.parametrize("length", [LIMIT_BYTES, LIMIT_BYTES + 1])
@pytest.mark.parametrize("zipped", [False, True])
def test_the_limit_is_exact(peer: Start, transport: Make, length: int, zipped: bool) -> None:
    body = b" " * length
    octets = answer(gzip.compress(body), "Content-Encoding: gzip") if zipped else answer(body)
    client = transport(max_answer_bytes=LIMIT_BYTES)
    url = peer(serve(octets)).url()
    if length <= LIMIT_BYTES:
        assert client.exchange(url).body == body
    else:
        assert failure_of(client, url).reason == "too_large"


def test_a_gzip_bomb_is_not_unpacked(peer: Start, transport: Make) -> None:
    bomb = gzip.compress(b" " * 200_000_000, 9)
    server = peer(serve(answer(bomb, "Content-Encoding: gzip")))
    client = transport(max_answer_bytes=len(bomb) * 2)
    tracemalloc.start()
    try:
        assert failure_of(client, server.url()).reason == "too_large"
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 20_000_000


def test_an_endless_line_in_place_of_a_chunk(peer: Start, transport: Make) -> None:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1" * 65536)

    assert failure_of(transport(), peer(behave).url()).reason == "connection"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_redirects_are_refused(peer: Start, transport: Make, status: int) -> None:
    elsewhere = peer(serve(answer()))
    location = f"Location: {elsewhere.url()}"
    server = peer(serve(answer(b"", location, status=f"{status} Go")))
    error = failure_of(transport(), server.url())
    assert (error.reason, error.retryable) == ("redirect", False)
    assert str(error) == f"the server redirects the call (HTTP {status})"
    assert elsewhere.connections == 0


@pytest.mark.parametrize("location", ["http://[", "", "//", "\xff", "http://x:99999999/"])
def test_redirects_to_nowhere(peer: Start, transport: Make, location: str) -> None:
    octets = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    server = peer(serve(octets.encode("latin-1")))
    assert failure_of(transport(), server.url()).reason == "redirect"


def test_the_body_of_a_redirect_is_not_read(peer: Start, transport: Make) -> None:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")
        hold(connection)

    assert failure_of(transport(), peer(behave).url()).reason == "redirect"
