"""Ask an ASGI application without a socket."""

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from exporter.web.app import WebApp


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
