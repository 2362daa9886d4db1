"""TLS and basic authentication over real sockets, with a real Prometheus among the clients."""

import base64
import contextlib
import gc
import http.client
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme

from exporter.web.connection import Limits
from tests.e2e.real_prometheus import query, scraping
from tests.e2e.web_serving import HASH, Authority, Serving, serving
from tests.unit.board_states import good_state
from tests.waiting import PATIENCE_SECONDS, until

RIGHT = "Basic " + base64.b64encode(b"alice:wonderland").decode()
WRONG = "Basic " + base64.b64encode(b"alice:looking-glass").decode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def status(
    world: Serving, context: ssl.SSLContext, authorization: str | None = None
) -> tuple[int, bytes]:
    client = http.client.HTTPSConnection(
        "localhost", world.port, timeout=PATIENCE_SECONDS, context=context
    )
    with contextlib.closing(client):
        headers = {"Authorization": authorization} if authorization else {}
        client.request("GET", "/metrics", headers=headers)
        response = client.getresponse()
        return response.status, response.read()


def served_name(world: Serving, context: ssl.SSLContext) -> str:
    context.check_hostname = False
    with (
        contextlib.closing(
            socket.create_connection(("127.0.0.1", world.port), PATIENCE_SECONDS)
        ) as raw,
        contextlib.closing(context.wrap_socket(raw)) as wrapped,
    ):
        cert: Any = wrapped.getpeercert()
        ((_, name),) = cert["subjectAltName"]
        return str(name)


def test_metrics_over_tls(authority: Authority) -> None:
    with authority.serving() as world:
        code, body = status(world, authority.client_context())
        assert code == 200
        assert b"ehpc_up" in body
        with pytest.raises(ssl.SSLCertVerificationError):
            status(world, ssl.create_default_context())
        with contextlib.closing(http.client.HTTPConnection("localhost", world.port)) as plain:
            plain.request("GET", "/metrics")
            with pytest.raises((http.client.HTTPException, OSError)):
                plain.getresponse()


def test_the_lowest_version_counts(authority: Authority) -> None:
    with authority.serving("  min_version: TLS13\n") as world:
        old = authority.client_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            status(world, old)
        assert status(world, authority.client_context())[0] == 200


def test_clients_show_their_certificate(authority: Authority) -> None:
    more = "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
    with authority.serving(more) as world:
        assert status(world, authority.client_context(with_cert=True))[0] == 200
        with pytest.raises((ssl.SSLError, OSError)):
            status(world, authority.client_context())
        stranger = authority.client_context()
        trustme.CA().issue_cert("scraper@example.org").configure_cert(stranger)
        with pytest.raises((ssl.SSLError, OSError)):
            status(world, stranger)
    with authority.serving(
        more.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    ) as world:
        assert status(world, authority.client_context())[0] == 200
        with pytest.raises((ssl.SSLError, OSError)):
            status(world, stranger)


def test_a_renewed_certificate_is_served_without_a_restart(authority: Authority) -> None:
    with authority.serving() as world:
        context = authority.client_context()
        assert served_name(world, context) == "localhost"
        authority.issue("renewed.example.org")
        assert served_name(world, context) == "renewed.example.org"
        (authority.directory / "server.key").write_text("half a k")
        assert served_name(world, context) == "renewed.example.org"


def test_users_over_tls(authority: Authority) -> None:
    with authority.serving(f"basic_auth_users:\n  alice: {HASH}\n") as world:
        context = authority.client_context()
        assert status(world, context)[0] == 401
        assert status(world, context, WRONG)[0] == 401
        assert status(world, context, RIGHT)[0] == 200


def test_a_scrape_with_a_password_costs_no_check_after_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks = []
    real = bcrypt.checkpw

    def checkpw(password: bytes, hashed: bytes) -> bool:
        checks.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    with serving(good_state(), users={"alice": HASH}) as world:
        for _ in range(20):
            assert world.get(headers={"Authorization": RIGHT})[0].status == 200
    assert checks == [HASH.encode()]


def scrape(world: Serving, authority: Authority) -> None:
    """Get in. A handshake that is short of processor time may be too late, too: then it is tried again."""

    def answer() -> int | None:
        with contextlib.suppress(OSError):
            return status(world, authority.client_context())[0]
        return None

    assert until(answer, "a scrape") == 200


def test_handshakes_that_never_end_keep_nobody_out(authority: Authority) -> None:
    limits = Limits(handshake_seconds=1)
    with authority.serving(limits=limits) as world, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", world.port)
        crowd = [
            stack.enter_context(
                contextlib.closing(socket.create_connection(address, PATIENCE_SECONDS))
            )
            for _ in range(200)
        ]
        scrape(world, authority)
        for client in crowd:
            client.settimeout(PATIENCE_SECONDS)
            assert client.recv(10) == b""  # cut off


@pytest.mark.parametrize(
    "said", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], ids=["silent", "half"]
)
def test_handshakes_that_never_end_take_no_memory_to_speak_of(
    authority: Authority, said: bytes
) -> None:
    """They are counted when they are accepted, and what they took is free as soon as they are
    gone: no collection of garbage is waited for."""
    limits = Limits(handshakes=10, handshake_seconds=60)
    gc.collect()
    gc.disable()
    try:
        with authority.serving(limits=limits) as world, contextlib.ExitStack() as stack:
            for _ in range(200):
                client = socket.create_connection(("127.0.0.1", world.port), PATIENCE_SECONDS)
                stack.enter_context(contextlib.closing(client))
                with contextlib.suppress(ConnectionError):
                    client.sendall(said)
            assert status(world, authority.client_context())[0] == 200
            assert len(world.server._server.crowd) <= 10
            handshakes = [o for o in gc.get_objects() if isinstance(o, SSLProtocol)]
            assert len(handshakes) <= 15
    finally:
        gc.enable()


def test_a_real_prometheus_scrapes_over_tls_with_a_password(
    authority: Authority, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    program = require_tool("prometheus")
    with authority.serving(f"basic_auth_users:\n  alice: {HASH}\n") as world:
        targets = f"scheme: https, static_configs: [{{targets: ['localhost:{world.port}']}}]"
        tls = f"tls_config: {{ca_file: {authority.directory}/ca.pem}}"
        sign_in = "basic_auth: {username: alice, password: wonderland}"
        config = (
            f"- {{job_name: right, {targets}, {tls}, {sign_in}}}\n"
            f"- {{job_name: wrong, {targets}, {tls}}}\n"
        )
        with scraping(program, tmp_path, config) as address:
            until(lambda: query(address, "up{job='right'} == 1"), "a scrape that succeeds")
            until(lambda: query(address, "up{job='wrong'} == 0"), "a scrape that is refused")
            assert query(address, "ehpc_up{job='right'}")
