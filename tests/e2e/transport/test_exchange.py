"""What goes out over the wire and what comes back."""

import gzip
import logging
import re
import socket
import threading
from functools import partial
from pathlib import Path

import pytest

from exporter.api.transport import RawAnswer
from tests.e2e.transport.peers import (
    BODY,
    CHUNKED,
    DATE,
    TARGET,
    Make,
    Start,
    answer,
    failure_of,
    read_request,
    reset,
    serve,
)
from tests.waiting import PATIENCE_SECONDS, until


def test_an_exchange(peer: Start, transport: Make) -> None:
    server = peer(serve(answer(BODY, f"Date: {DATE}")))
    got = transport().exchange(server.url())
    assert (got.status, got.body, got.date_at) == (200, BODY, 1_629_391_480.0)
    assert 0 < got.elapsed_seconds < PATIENCE_SECONDS
    assert "ret_code" not in repr(got)


@pytest.mark.parametrize(
    ("header", "date_at"),
    [
        (f"Date: {DATE}", 1_629_391_480.0),
        ("Date: Thu, 19 Aug 2021 16:44:40 -0000", 1_629_391_480.0),
        ("Date: Fri, 20 Aug 2021 00:44:40 +0800", 1_629_391_480.0),
        ("Date: yesterday", None),
        ("Date: Thu, 99 Aug 2021 16:44:40 GMT", None),
        ("Date: Thu, 19 Aug 99999999999 16:44:40 GMT", None),
        ("Date:", None),
        ("X-None: 1", None),
    ],
)
def test_the_servers_clock(
    peer: Start, transport: Make, header: str, date_at: float | None
) -> None:
    server = peer(serve(answer(BODY, header)))
    assert transport().exchange(server.url()).date_at == date_at


def test_headers_that_speak_of_a_quota_are_kept_and_no_others(peer: Start, transport: Make) -> None:
    headers = (
        "X-RateLimit-Remaining: 1873", "RateLimit-Limit: 2000, 2000;w=3600", "Retry-After: 30",
        "X-Quota-User: alice", "X-RateLimit-Reset: Thu, 19 Aug 2021 16:44:40 GMT", "X-Left: 7",
    )  # fmt: skip
    server = peer(serve(answer(BODY, *headers)))
    assert transport().exchange(server.url()).quota_headers == (
        ("x-ratelimit-remaining", "1873"),
        ("ratelimit-limit", "2000, 2000;w=3600"),
        ("retry-after", "30"),
    )


def test_the_query_goes_out_byte_for_byte(peer: Start, transport: Make) -> None:
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(answer())

    server = peer(behave)
    transport(user_agent="ehpc-exporter/9").exchange(server.url())
    line, *headers = seen[0].decode().split("\r\n")
    assert line == f"GET {TARGET} HTTP/1.1"
    named = {name.lower(): value for name, _, value in (row.partition(": ") for row in headers)}
    del named[""]
    assert named == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "ehpc-exporter/9",
        "accept": "application/json",
        "accept-encoding": "gzip",
    }


@pytest.mark.parametrize("status", ["400 Bad", "403 No", "404 No", "429 Slow", "500 Oops", "503 X"])
def test_an_http_error_is_an_answer(peer: Start, transport: Make, status: str) -> None:
    server = peer(serve(answer(b"<html>", status=status)))
    got = transport().exchange(server.url())
    assert (got.status, got.body) == (int(status[:3]), b"<html>")


def test_an_http_error_whose_body_breaks_off_is_one_still(peer: Start, transport: Make) -> None:
    server = peer(serve(answer(b"<html", status="502 Bad", length=999), then=reset))
    got = transport().exchange(server.url())
    assert (got.status, got.body) == (502, b"")


@pytest.mark.parametrize(
    "octets",
    [
        CHUNKED,
        answer(gzip.compress(BODY), "Content-Encoding: gzip"),
        answer(BODY, "Content-Encoding: identity"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 15\r\n\r\n" + BODY,
    ],
    ids=["chunks", "gzip", "identity", "100 first", "HTTP/1.0"],
)
def test_bodies_in_every_wrapping_and_the_connection_is_kept(
    peer: Start, transport: Make, octets: bytes
) -> None:
    server = peer(serve(octets))
    client = transport()
    for _ in range(5):
        assert client.exchange(server.url()).body == BODY
    assert server.connections == 1


def test_a_body_until_the_end_of_the_connection(peer: Start, transport: Make) -> None:
    server = peer(serve(b"HTTP/1.1 200 OK\r\n\r\n" + BODY, then=lambda _: None))
    client = transport()
    for _ in range(2):
        assert client.exchange(server.url()).body == BODY
    assert server.connections == 2


def test_a_connection_that_was_closed_meanwhile_is_replaced(peer: Start, transport: Make) -> None:
    server = peer(serve(answer(), then=lambda _: None))
    client = transport()

    def ended(times: int) -> bool:
        return server.ended > times

    for times in range(3):
        client.exchange(server.url())
        until(partial(ended, times), "the end of the connection")
    assert server.connections == 3


def test_threads_share_a_transport(peer: Start, transport: Make) -> None:
    server = peer(serve(answer()))
    client = transport()
    got: list[RawAnswer] = []

    def work() -> None:
        got.extend(client.exchange(server.url()) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.body for entry in got] == [BODY] * 80
    assert server.connections <= 8


def test_no_cookie_and_no_password_file(
    peer: Start, transport: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        while request := read_request(connection):
            seen.append(request)
            connection.sendall(answer(BODY, "Set-Cookie: session=1; Path=/"))

    server = peer(behave)
    client = transport()
    client.exchange(server.url())
    client.exchange(server.url())
    assert len(seen) == 2
    assert not re.search(rb"(?i)cookie|authorization", b"".join(seen))


def test_logs_have_no_url(peer: Start, transport: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    strange = answer(BODY, "no colon here")
    server = peer(serve(answer(), strange, answer(status="302 Found"), then=None))
    client = transport()
    client.exchange(server.url())
    client.exchange(server.url())
    failure_of(client, server.url())
    failure_of(client, "http://127.0.0.1:1" + TARGET)
    assert "signature" not in caplog.text
    assert "AKIDEXAMPLE" not in caplog.text


def test_no_thread_or_socket_is_left(peer: Start, transport: Make) -> None:
    before = set(threading.enumerate())
    client = transport()
    assert set(threading.enumerate()) <= before  # of other tests, some may end just now
    server = peer(serve(answer()))
    client.exchange(server.url())

    def left() -> list[str]:
        return [
            thread.name for thread in threading.enumerate() if thread.name.startswith("resolve")
        ]

    until(lambda: not left(), "the end of the thread that has just found the address")
