"""Something to scrape, in a process of its own: ``python -m tests.bench.scrape_target KIND SERIES``.

KIND is ``ours`` (this exporter's web server, one cluster of that many series, publishing anew
every second), ``fixed`` (the same server with an answer that is always the same bytes) or
``client`` (prometheus-client's own server with the same families, made beforehand). Prints its
port and serves until its input ends.
"""

import dataclasses
import sys
import threading
from collections.abc import Iterator, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric

from exporter.clock import SystemClock
from exporter.collector import BuildInfo, ReloadStatus, cluster_families
from exporter.model import ClusterIdentity
from exporter.snapshot import ClusterSnapshot, ClusterState, JobCount, SnapshotBoard
from exporter.telemetry import Telemetry
from exporter.web.app import Receive, Scope, Send, WebApp, WebOptions, WebParts
from exporter.web.exposition import ExporterFacts, Exposition, ProcessFamilies
from exporter.web.negotiation import Format, accepts_gzip
from exporter.web.server import WebServer

STATUSES = ("pending", "running")
QUEUES = 25


def state_with(series: int) -> ClusterState:
    """A cluster whose job gauges are this many series."""
    users = series // (2 * len(STATUSES) * QUEUES)
    counts = tuple(
        JobCount(status, f"queue-{queue}", f"usr-{user:08d}", user % 17, user % 17 * 8)
        for queue in range(QUEUES) for user in range(users) for status in STATUSES
    )  # fmt: skip
    clock = SystemClock()
    return ClusterState(
        identity=ClusterIdentity("cfd", "ehpc-qmmvigwe", "jinan1a", "default"),
        tried=True, up=True, strategy="delta", effective_interval_seconds=60,
        last_success_at=clock.now_at(),
        snapshot=ClusterSnapshot(taken_at=clock.now_at(), counts=counts, oldest_pending=()),
        staleness_wanted_seconds=float("inf"),
    )  # fmt: skip


def exposition_of(state: ClusterState) -> tuple[Exposition, SnapshotBoard]:
    board, telemetry, clock = SnapshotBoard(), Telemetry(), SystemClock()
    telemetry.register_cluster("cfd")
    telemetry.register_account("default")
    facts = ExporterFacts(
        BuildInfo("0", "", "3"), lambda: ReloadStatus(successful=True, success_at=0), list,
    )  # fmt: skip
    exposition = Exposition(board, telemetry, clock, facts, ProcessFamilies())
    board.publish(state)
    exposition.refresh()
    return exposition, board


def serve(app: Any) -> int:
    server = WebServer(app, ["127.0.0.1:0"])
    ((_, port),) = server.bind()
    server.start()
    return port


def ours(series: int, *, publishing: bool) -> int:
    state = state_with(series)
    exposition, board = exposition_of(state)

    def publish() -> None:
        while not threading.Event().wait(1):
            assert state.snapshot is not None
            board.publish(dataclasses.replace(state, snapshot=dataclasses.replace(state.snapshot)))
            exposition.refresh()

    if publishing:
        threading.Thread(target=publish, name="publisher", daemon=True).start()
    page = lambda _: ("", "")  # noqa: E731
    return serve(
        WebApp(WebParts(exposition, *[lambda: None] * 3, page, lambda _: None), WebOptions())
    )


def fixed(series: int) -> int:
    exposition, _ = exposition_of(state_with(series))
    bodies = {gz: exposition.scrape(Format.TEXT, compressed=gz) for gz in (False, True)}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        compressed = any(
            accepts_gzip(v.decode()) for k, v in scope["headers"] if k == b"accept-encoding"
        )
        body = bodies[compressed]
        headers = [(b"content-length", str(len(body)).encode())]
        start: MutableMapping[str, Any] = {
            "type": "http.response.start", "status": 200, "headers": headers
        }  # fmt: skip
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return serve(app)


class Prepared:
    """Gives the same families again and again."""

    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self.families)


def client(series: int) -> int:
    registry = CollectorRegistry()
    registry.register(Prepared(cluster_families(state_with(series))))
    server, _ = start_http_server(0, "127.0.0.1", registry)
    return int(server.server_port)


def main(kind: str, series: int) -> None:
    make = {
        "ours": lambda: ours(series, publishing=True),
        "quiet": lambda: ours(series, publishing=False),
        "fixed": lambda: fixed(series),
        "client": lambda: client(series),
    }[kind]
    print(make(), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
