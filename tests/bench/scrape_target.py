"""Something to scrape, in a process of its own: ``python -m tests.bench.scrape_target KIND SERIES``.

KIND is ``ours`` (this exporter's web server, one cluster of that many series, publishing anew
every second), ``fixed`` (the same server with an answer that is always the same bytes) or
``client`` (prometheus-client's own server with the same families, made beforehand). ``fleet`` and
``fixed-fleet`` are the same with so many clusters of ``FLEET_SERIES`` in place of SERIES; one after
the other of ``fleet`` publishes, five a second. Prints its port and serves until its input ends.
"""

import dataclasses
import sys
import threading
from collections.abc import Iterable, Iterator, MutableMapping
from itertools import cycle
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric

from exporter.api.client import FAILURE_REASONS
from exporter.clock import SystemClock
from exporter.collector import BuildInfo, ReloadStatus, cluster_families
from exporter.daemon.watch import CORRECTION_KINDS, SYNC_REASONS
from exporter.model import ClusterIdentity
from exporter.snapshot import ClusterSnapshot, ClusterState, JobCount, SnapshotBoard
from exporter.telemetry import Telemetry
from exporter.web.app import Receive, Scope, Send, WebApp, WebOptions, WebParts
from exporter.web.exposition import ExporterFacts, Exposition, ProcessFamilies
from exporter.web.negotiation import Format, accepts_gzip
from exporter.web.server import WebServer

STATUSES = ("pending", "running")
QUEUES = 25
FLEET_SERIES = 400


def state_with(series: int, name: str = "cfd") -> ClusterState:
    """A cluster whose job gauges are this many series."""
    users = series // (2 * len(STATUSES) * QUEUES)
    counts = tuple(
        JobCount(status, f"queue-{queue}", f"usr-{user:08d}", user % 17, user % 17 * 8)
        for queue in range(QUEUES) for user in range(users) for status in STATUSES
    )  # fmt: skip
    clock = SystemClock()
    return ClusterState(
        identity=ClusterIdentity(name, "ehpc-qmmvigwe", "jinan1a", "default"),
        tried=True, strategy="delta", effective_interval_seconds=60,
        last_success_at=clock.now_at(),
        snapshot=ClusterSnapshot(taken_at=clock.now_at(), counts=counts, oldest_pending=()),
        staleness_wanted_seconds=float("inf"),
    )  # fmt: skip


def exposition_with(
    states: Iterable[ClusterState],
) -> tuple[Exposition, SnapshotBoard, Telemetry]:
    board, telemetry, clock = SnapshotBoard(), Telemetry(), SystemClock()
    telemetry.register_account("default", FAILURE_REASONS)
    facts = ExporterFacts(
        BuildInfo("0", "", "3"), lambda: ReloadStatus(successful=True, success_at=0), list,
    )  # fmt: skip
    exposition = Exposition(board, telemetry, clock, facts, ProcessFamilies())
    for state in states:
        telemetry.register_cluster(state.identity.name, SYNC_REASONS, CORRECTION_KINDS)
        board.publish(state)
    exposition.refresh()
    return exposition, board, telemetry


def serve(app: Any) -> int:
    server = WebServer(app, ["127.0.0.1:0"])
    ((_, port),) = server.bind()
    server.start()
    return port


def ours(states: list[ClusterState], *, a_second: float) -> int:
    """One state after the other is published anew."""
    exposition, board, telemetry = exposition_with(states)

    def publish() -> None:
        for state in cycle(states):
            threading.Event().wait(1 / a_second)
            assert state.snapshot is not None
            board.publish(dataclasses.replace(state, snapshot=dataclasses.replace(state.snapshot)))
            telemetry.sync_succeeded(state.identity.name, 0.2)
            exposition.refresh()

    if a_second:
        threading.Thread(target=publish, name="publisher", daemon=True).start()
    parts = WebParts(
        exposition, lambda: None, lambda: None, lambda: None, lambda *_: ("", ""), lambda _: None
    )
    return serve(WebApp(parts, WebOptions()))


def fixed(states: list[ClusterState]) -> int:
    exposition, _, _ = exposition_with(states)
    bodies = {
        gz: exposition.scrape(Format.TEXT, compressed=gz, several=True) for gz in (False, True)
    }

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


def fleet(clusters: int) -> list[ClusterState]:
    return [state_with(FLEET_SERIES, f"cluster-{number:03d}") for number in range(clusters)]


def main(kind: str, size: int) -> None:
    make = {
        "ours": lambda: ours([state_with(size)], a_second=1),
        "quiet": lambda: ours([state_with(size)], a_second=0),
        "fixed": lambda: fixed([state_with(size)]),
        "client": lambda: client(size),
        "fleet": lambda: ours(fleet(size), a_second=5),
        "fixed-fleet": lambda: fixed(fleet(size)),
    }[kind]
    print(make(), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
