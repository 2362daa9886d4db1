"""Whom a TLS connection trusts."""

import re
import threading
from pathlib import Path

import pytest

from exporter.api.trust import Trust
from tests.e2e.transport.peers import (
    BODY,
    Authority,
    Make,
    Proxy,
    Start,
    answer,
    failure_of,
    read_request,
    serve,
)
from tests.waiting import PATIENCE_SECONDS


def test_tls_with_a_ca_file(peer: Start, transport: Make, authority: Authority) -> None:
    server = peer(serve(answer()), authority.server)
    client = transport(ca_file=authority.file)
    for _ in range(3):
        assert client.exchange(server.url("https")).body == BODY
    assert server.connections == 1


def test_tls_with_a_bundle_of_the_environment(
    peer: Start, transport: Make, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.file)
    server = peer(serve(answer()), authority.server)
    assert transport().exchange(server.url("https")).body == BODY


def test_tls_with_the_store_of_the_machine(
    peer: Start, transport: Make, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named as OpenSSL has it named."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    server = peer(serve(answer()), authority.server)
    assert transport().exchange(server.url("https")).body == BODY


def test_a_ca_file_stands_beside_the_store_of_the_machine(
    peer: Start,
    transport: Make,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    other = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", other.file)
    client = transport(ca_file=authority.file)
    for each in (authority, other):
        server = peer(serve(answer()), each.server)
        assert client.exchange(server.url("https")).body == BODY


def test_without_tls_no_issuers_are_read(
    peer: Start, transport: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than all else that a client does before its first call."""
    read: list[str] = []
    monkeypatch.setattr(Trust, "add", lambda _, path: read.append(path))
    assert transport().exchange(peer(serve(answer())).url("http")).body == BODY
    assert read == []


def test_many_first_calls_at_once_read_the_issuers_once() -> None:
    """All clusters of an account begin together, and each reading takes a tenth of a second of CPU time."""
    trust, read, met = Trust(), list[str](), threading.Event()
    lock = trust._lock

    class Door:
        def __enter__(self) -> None:
            if not lock.acquire(blocking=False):
                met.set()
                lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    class Context:
        def load_default_certs(self) -> None:
            read.append("the machine's")
            if len(read) == 1:
                other.start()
                met.wait(PATIENCE_SECONDS)
            met.set()

        def load_verify_locations(self, **file: str) -> None:
            read.append(file["cafile"])

    trust._lock, trust.context = Door(), Context()  # type: ignore[assignment]
    other = threading.Thread(target=trust.add, args=("ca.pem",))
    trust.add("ca.pem")
    other.join()
    assert read == ["the machine's", "ca.pem"]


def test_through_a_tunnel_the_store_of_the_machine_counts_as_well(
    peer: Start, transport: Make, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    proxy = peer(Proxy(), authority.server)
    monkeypatch.setenv("https_proxy", f"https://127.0.0.1:{proxy.port}")
    server = peer(serve(answer()), authority.server)
    assert transport().exchange(server.url("https", "hpc.example")).body == BODY


def test_a_bundle_of_the_environment_that_is_not_there(
    transport: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    error = failure_of(transport(), "https://127.0.0.1:1/")
    assert (error.reason, error.retryable) == ("tls", False)
    assert str(error) == f"the file of trusted issuers {tmp_path}/nowhere.pem does not exist"


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (("server", False), "unable to get local issuer certificate"),
        (("stranger", True), "unable to get local issuer certificate"),
        (("server_for_others", True), "IP address mismatch"),
    ],
)
def test_tls_that_is_not_trusted(
    peer: Start,
    transport: Make,
    authority: Authority,
    case: tuple[str, bool],
    words: str,
) -> None:
    context, with_file = case
    requests_seen: list[bytes] = []
    server = peer(lambda it: requests_seen.append(read_request(it)), getattr(authority, context))
    client = transport(ca_file=authority.file if with_file else None)
    error = failure_of(client, server.url("https"))
    assert (error.reason, error.retryable) == ("tls", False)
    assert str(error).startswith("the certificate is not trusted: ")
    assert words in str(error)
    assert not any(requests_seen)


def test_a_server_without_tls(peer: Start, transport: Make, authority: Authority) -> None:
    server = peer(lambda it: it.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    error = failure_of(transport(ca_file=authority.file), server.url("https"))
    assert error.reason == "tls"
    assert re.match(r"TLS failed: [a-z0-9 ]{6,} \(127", str(error)), error


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nnonsense\n"])
def test_a_ca_file_that_is_none(
    peer: Start, transport: Make, authority: Authority, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    server = peer(serve(answer()), authority.server)
    error = failure_of(transport(ca_file=str(file)), server.url("https"))
    assert error.reason == "tls"
    assert "ca_file" in f"{error} {error.advice}"
