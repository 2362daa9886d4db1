"""Proxies from the environment."""

import socket

import pytest

from tests.e2e.transport.peers import (
    BODY,
    TARGET,
    TIMEOUT_SECONDS,
    Authority,
    Behaviour,
    JumpingClock,
    Make,
    Proxy,
    Start,
    answer,
    asked,
    drip,
    failure_of,
    hold,
    read_request,
    reset,
    serve,
)
from tests.waiting import PATIENCE_SECONDS


def test_a_proxy_for_http(peer: Start, transport: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{peer(proxy).port}")
    client = transport()
    for _ in range(2):
        assert client.exchange(f"http://hpc.example{TARGET}").body == BODY
    assert proxy.lines == [f"GET http://hpc.example{TARGET} HTTP/1.1"] * 2


def test_a_proxy_for_https(
    peer: Start, transport: Make, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{peer(proxy).port}")
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        while request := read_request(connection):
            seen.append(request)
            connection.sendall(answer())

    server = peer(behave, authority.server)
    client = transport(ca_file=authority.file)
    for _ in range(2):
        assert client.exchange(server.url("https", "hpc.example")).body == BODY
    assert [line.split()[:2] for line in proxy.lines] == [["CONNECT", f"hpc.example:{server.port}"]]
    assert [request.split(b"\r\n")[0] for request in seen] == [
        f"GET {TARGET} HTTP/1.1".encode()
    ] * 2


def test_a_proxy_that_is_reached_by_tls(
    peer: Start, transport: Make, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"https://127.0.0.1:{peer(Proxy(), authority.server).port}")

    clock = JumpingClock()
    timeout_seconds = 3600.0

    def drip_a_body(connection: socket.socket) -> None:
        connection.sendall(answer(b"{", length=3000))
        clock.jumped_seconds += timeout_seconds
        drip(connection, b" " * 2000)

    behave = asked(lambda it: it.sendall(answer()), drip_a_body)
    client = transport(timeout_seconds, clock, ca_file=authority.file)
    url = peer(behave, authority.server).url("https", "hpc.example")
    assert client.exchange(url).body == BODY
    assert failure_of(client, url).reason == "timeout"
    client.close()


def test_no_proxy(peer: Start, transport: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{peer(proxy).port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert transport().exchange(peer(serve(answer())).url()).body == BODY
    assert proxy.lines == []


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (
            lambda it: drip(it, b"HTTP/1.1 200 Connection established\r\n" + b"X: y\r\n" * 99),
            "timeout",
        ),
        (hold, "timeout"),
        (
            lambda it: it.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
            "proxy",
        ),
        (lambda it: it.sendall(b"HTTP/1.1 403 hush\r\n\r\n"), "proxy"),
        (lambda it: it.sendall(b"HTTP/1.1 502 hush\r\n\r\n"), "connection"),
        (reset, "connection"),
    ],
    ids=["drips", "stalls", "wants a login", "refuses", "fails", "resets"],
)
def test_proxies_that_fail(
    peer: Start,
    transport: Make,
    monkeypatch: pytest.MonkeyPatch,
    behave: Behaviour,
    reason: str,
) -> None:
    proxy = peer(asked(behave))
    monkeypatch.setenv("https_proxy", f"http://someone:hush@127.0.0.1:{proxy.port}")
    client = transport(TIMEOUT_SECONDS if reason == "timeout" else PATIENCE_SECONDS)
    error = failure_of(client, f"https://hpc.example{TARGET}")
    assert error.reason == reason
    assert "hush" not in str(error)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_login_is_told_as_such(
    peer: Start, transport: Make, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    refuse = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    proxy = peer(asked(lambda it: it.sendall(refuse)))
    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{proxy.port}")
    error = failure_of(transport(), f"{scheme}://hpc.example{TARGET}")
    assert (error.reason, error.retryable) == ("proxy", False)
    assert str(error) == "the proxy wants a login, or another one (HTTP 407)"
    assert "http://USER:PASSWORD@HOST:PORT" in error.advice


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://someone:hush@127.0.0.1:1080", "a proxy of the kind socks5 is not supported"),
        ("socks5h://127.0.0.1:1080", "a proxy of the kind socks5h is not supported"),
        ("ftp://127.0.0.1", "a proxy of the kind ftp is not supported"),
        ("http://someone:hush@:3128", "the environment's proxy is no URL with a host"),
        ("http://some host:3128", "the environment's proxy is no URL with a host"),
        ("http://127.0.0.1:hush", "the environment's proxy is no URL with a host"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_used_is_told_as_such(
    transport: Make, monkeypatch: pytest.MonkeyPatch, scheme: str, proxy: str, words: str
) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", proxy)
    error = failure_of(transport(), f"{scheme}://hpc.example{TARGET}")
    assert (error.reason, error.retryable, str(error)) == ("proxy", False, words)


def test_a_tunnel_and_the_answer_share_one_deadline(
    peer: Start, transport: Make, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = JumpingClock()
    timeout_seconds = 3600.0

    class SlowProxy(Proxy):
        def __call__(self, connection: socket.socket) -> None:
            clock.jumped_seconds += timeout_seconds - 3  # enough for TLS and the request
            super().__call__(connection)

    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{peer(SlowProxy()).port}")
    server = peer(asked(hold), authority.server)
    error = failure_of(
        transport(timeout_seconds, clock, ca_file=authority.file),
        server.url("https", "hpc.example"),
    )
    assert error.reason == "timeout"
