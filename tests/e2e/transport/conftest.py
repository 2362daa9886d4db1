"""What every test of the transport can ask for."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from exporter.api.transport import RequestsTransport
from exporter.clock import Clock, SystemClock
from tests.e2e.transport.peers import (
    Authority,
    Behaviour,
    Peer,
)
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_proxies_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def peer(stack: ExitStack) -> Callable[..., Peer]:
    def start(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Peer:
        return stack.enter_context(closing(Peer(behave, tls)))

    return start


@pytest.fixture
def transport(stack: ExitStack) -> Callable[..., RequestsTransport]:
    def make(
        timeout_seconds: float = PATIENCE_SECONDS, clock: Clock | None = None, **options: Any
    ) -> RequestsTransport:
        made = RequestsTransport(
            timeout_seconds=timeout_seconds, clock=clock or SystemClock(), **options
        )
        return stack.enter_context(closing(made))

    return make


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))
