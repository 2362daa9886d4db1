"""The real web server on a free port, before a board that the test fills."""

import contextlib
import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
