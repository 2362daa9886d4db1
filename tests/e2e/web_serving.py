"""The real web server on a free port, before a board that the test fills."""

import contextlib
import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bcrypt
import trustme

from exporter.clock import SystemClock
from exporter.collector import AccountQuota, BuildInfo, ReloadStatus
from exporter.snapshot import ClusterState, SnapshotBoard
from exporter.telemetry import Telemetry
from exporter.web.app import WebApp, WebOptions, WebParts
from exporter.web.connection import Limits
from exporter.web.exposition import ExporterFacts, Exposition, ProcessFamilies
from exporter.web.manual import Leaf, Manual
from exporter.web.page import LandingPage, PageParts
from exporter.web.server import WebServer
from exporter.web.tls import RenewingContext
from exporter.web.web_config import parse_web_config
from tests.unit.board_states import good_state
from tests.waiting import PATIENCE_SECONDS


@dataclass(frozen=True)
class Serving:
    """What a test can get at."""

    server: WebServer
    app: WebApp
    board: SnapshotBoard
    telemetry: Telemetry
    exposition: Exposition
    addresses: Sequence[tuple[str, int]]
    staleness_seconds: float

    @property
    def port(self) -> int:
        return self.addresses[0][1]

    def publish(self, *states: ClusterState) -> None:
        for state in states:
            self.telemetry.register_cluster(state.identity.name)
            self.board.publish(replace(state, staleness_wanted_seconds=self.staleness_seconds))
        self.exposition.refresh()

    def get(
        self, path: str = "/metrics", headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response, response.read()


@contextlib.contextmanager
def serving(
    *states: ClusterState,
    listen: Sequence[str] = ("127.0.0.1:0",),
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    users: Mapping[str, str] | None = None,
    staleness_seconds: float = 1e12,  # an age can be told of it; none of infinity
    ready: Callable[[], str | None] = lambda: None,
    manual: Callable[[str], Leaf | None] | None = None,
) -> Iterator[Serving]:
    """Serve the states until the end of the block."""
    board, telemetry, clock = SnapshotBoard(), Telemetry(), SystemClock()
    telemetry.register_account("default", ["busy"])
    shared = ExporterFacts(
        BuildInfo("1.2.3", "abc", "3.11.2"),
        reload=lambda: ReloadStatus(successful=True, success_at=clock.now_at()),
        quotas=lambda: [AccountQuota("default", 1000, 12)],
    )
    exposition = Exposition(board, telemetry, clock, shared, ProcessFamilies())
    page = LandingPage(
        PageParts(
            board,
            clock,
            "1.2.3",
            "/metrics",
            shared.quotas,
            shared.reload,
        )
    )
    leaf_at = manual or Manual("1.2.3").leaf
    parts = WebParts(exposition, lambda: None, ready, lambda: None, page, leaf_at)
    app = WebApp(parts, WebOptions(), users=users)
    server = WebServer(app, listen, limits=limits, tls=tls)
    world = Serving(server, app, board, telemetry, exposition, server.bind(), staleness_seconds)
    server.start()
    try:
        world.publish(*states)
        yield world
    finally:
        server.stop()


HASH = bcrypt.hashpw(b"wonderland", bcrypt.gensalt(8)).decode()


class Authority:
    """Certificates on disk, and clients that trust them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = trustme.CA()
        self.ca.cert_pem.write_to_path(str(directory / "ca.pem"))
        self.issue()

    def issue(self, name: str = "localhost") -> None:
        cert = self.ca.issue_cert(name)
        cert.private_key_pem.write_to_path(str(self.directory / "server.key"))
        chain = b"".join(blob.bytes() for blob in cert.cert_chain_pems)
        (self.directory / "server.pem").write_bytes(chain)

    def client_context(self, *, with_cert: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if with_cert:
            self.ca.issue_cert("scraper@example.org").configure_cert(context)
        return context

    @contextlib.contextmanager
    def serving(self, more: str = "", limits: Limits | None = None) -> Iterator[Serving]:
        text = f"tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n{more}"
        config = parse_web_config(text, self.directory)
        assert config.tls is not None
        tls = RenewingContext(config.tls)
        with serving(good_state(), tls=tls, users=config.users, limits=limits) as world:
            yield world
