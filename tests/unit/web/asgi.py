"""The web application with made-up parts, asked without a socket."""

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from exporter.collector import BuildInfo, ReloadStatus
from exporter.snapshot import SnapshotBoard
from exporter.telemetry import Telemetry
from exporter.web.app import WebApp, WebOptions, WebParts
from exporter.web.exposition import ExporterFacts, Exposition
from exporter.web.manual import Manual
from tests.unit.board_states import NOON_AT, good_state
from tests.unit.manual_clock import ManualClock


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


async def ask_async(app: WebApp, path: str, method: str = "GET", **headers: str) -> Answer:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    pairs = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
    scope = {
        "type": "http", "method": method, "path": path.partition("?")[0], "raw_path": path.partition("?")[0].encode(), "headers": pairs,
        "query_string": path.partition("?")[2].encode(), "http_version": "1.1", "scheme": "http", "root_path": "",
        "server": ("localhost", 80), "client": ("127.0.0.1", 1), "asgi": {"version": "3.0"},
    }  # fmt: skip
    await app(scope, receive, send)
    assert [m["type"] for m in sent] == [
        "http.response.start",
        *["http.response.body"] * (len(sent) - 1),
    ]
    names = [name for name, _ in sent[0]["headers"]]
    assert len(names) == len(set(names)), names
    found = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:]))


def ask(app: WebApp, path: str, method: str = "GET", **headers: str) -> Answer:
    return asyncio.run(ask_async(app, path, method, **headers))


def fine() -> str | None:
    return None


def make_parts(
    health: Callable[[], str | None] = fine,
    ready: Callable[[], str | None] = fine,
    reload: Callable[[], str | None] = fine,
) -> WebParts:
    board = SnapshotBoard()
    board.publish(good_state())
    facts = ExporterFacts(
        BuildInfo("1", "", "3"), lambda: ReloadStatus(successful=True, success_at=NOON_AT),
        list,
    )  # fmt: skip
    exposition = Exposition(board, Telemetry(), ManualClock(NOON_AT), facts, list)
    exposition.refresh()
    page = lambda language, query: (f"<p>page for {language}", "default-src 'self'")  # noqa: E731
    return WebParts(exposition, health, ready, reload, page, Manual("1").leaf)


def make_app(telemetry_path: str = "/metrics", *, lifecycle: bool = False) -> WebApp:
    return WebApp(make_parts(), WebOptions(telemetry_path, lifecycle))
