"""A real browser, driven by the DevTools protocol over a pipe: no port and no package needed."""

import base64
import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tests.waiting import PATIENCE_SECONDS

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-pipe", "about:blank",
)  # fmt: skip


_PLACE = """
import os, sys
os.dup2(int(sys.argv[1]), 3), os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page in a running Chromium."""

    def __init__(self, send_fd: int, receive: IO[bytes]) -> None:
        self._send_fd = send_fd
        self._receive = receive
        self._ids = itertools.count(1)
        self._pending = b""
        self._loads = 0
        self.complaints: list[str] = []
        """What the browser logged about the page, refusals by its policy among them."""
        target = self.call("Target.createTarget", session=None, url="about:blank")["targetId"]
        attached = self.call(
            "Target.attachToTarget", session=None, targetId=target, flatten=True
        )  # fmt: skip
        self._session: str = attached["sessionId"]
        for domain in ("Page", "Log", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Load a page and wait until it is there."""
        before = self._loads
        self.call("Page.navigate", url=url)
        self._await_load(before)

    def follow(self, selector: str) -> None:
        """Click a link to another page and wait until that is there."""
        before = self._loads
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        self._await_load(before)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """A picture of the whole page, as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def look_like(self, *, width: int, dark: bool, language: str) -> None:
        """Be a screen this wide, and a reader who likes this colour and language."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})

    def call(self, method: str, session: str | None = "", **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; gives its result."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = self._session
        os.write(self._send_fd, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next_message()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _await_load(self, before: int) -> None:
        while self._loads == before:
            self._next_message()

    def _next_message(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            chunk = self._receive.read(1 << 16)
            assert chunk, "the browser is gone"
            self._pending += chunk
        first, _, self._pending = self._pending.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        if message.get("method") == "Page.loadEventFired":
            self._loads += 1
        if message.get("method") == "Log.entryAdded":
            self.complaints.append(message["params"]["entry"]["text"])
        return message


@contextlib.contextmanager
def browsing(program: str, directory: Path) -> Iterator[Browser]:
    """A browser with an empty profile until the end of the block."""
    to_browser, from_browser = os.pipe(), os.pipe()
    command = [program, *_FLAGS, f"--user-data-dir={directory / 'profile'}"]
    # The browser expects the pipe on descriptors 3 and 4.
    placed = [sys.executable, "-c", _PLACE, str(to_browser[0]), str(from_browser[1]), *command]
    with (directory / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            placed, pass_fds=(to_browser[0], from_browser[1]), stdout=log, stderr=log
        )
    os.close(to_browser[0])
    os.close(from_browser[1])
    try:
        with open(from_browser[0], "rb", buffering=0) as receive:
            yield Browser(to_browser[1], receive)
    finally:
        os.close(to_browser[1])
        process.terminate()
        process.wait(PATIENCE_SECONDS)
