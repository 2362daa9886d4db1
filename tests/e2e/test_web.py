"""The web server over real sockets: good clients, bad clients, real scrapers."""

import contextlib
import errno
import gzip
import json
import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exporter.web.connection import Limits
from exporter.web.listening import ListenError, parse_listen_address
from exporter.web.server import WebServer
from tests.e2e.real_prometheus import fetch, query, scraping
from tests.e2e.web_serving import Serving, serving
from tests.servers import kept_address, program
from tests.unit.board_states import HOSTILE, good_state, hostile_state, new_state
from tests.waiting import PATIENCE_SECONDS, until


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


def test_metrics_over_a_socket() -> None:
    with serving(good_state()) as world:
        response, body = world.get(headers={"Accept-Encoding": "gzip"})
        assert response.status == 200
        assert response.headers["Content-Encoding"] == "gzip"
        assert 'ehpc_up{cluster_name="cfd"} 1.0' in gzip.decompress(body).decode()
        assert "Server" not in response.headers
        response, head = world.get(method="HEAD")
        assert (response.status, head) == (200, b"")
        assert int(response.headers["Content-Length"]) > 1000


def test_one_connection_serves_many_scrapes() -> None:
    with serving(good_state()) as world, contextlib.closing(connect(world.port)) as client:
        reader = client.makefile("rb")
        for _ in range(3):
            client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
            while reader.readline() != b"\r\n":
                pass
            assert reader.read(8) == b"healthy\n"


def test_several_addresses() -> None:
    with serving(listen=["127.0.0.1:0", "localhost:0", ":0"]) as world:
        assert len({port for _, port in world.addresses}) == 3
        for _, port in world.addresses:
            with contextlib.closing(connect(port)) as client:
                client.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_a_name_with_addresses_of_both_kinds_is_found_by_ipv4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def both(*_: object, **__: object) -> list[tuple[Any, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        ]

    with serving() as world:
        monkeypatch.setattr(socket, "getaddrinfo", both)
        server = WebServer(world.app, ["localhost:0"])
        assert server.bind()[0][0] == "127.0.0.1"
        server.stop()


def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(listen=["[::1]:0"]) as world:
        address = ("::1", world.port)
        with contextlib.closing(
            socket.create_connection(address, timeout=PATIENCE_SECONDS)
        ) as client:
            client.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_a_port_in_use_is_one_clear_line() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with serving() as world:
            server = WebServer(world.app, ["127.0.0.1:0", address])
            with pytest.raises(ListenError) as caught:
                server.bind()
        assert str(caught.value) == (
            f"cannot listen on {address}: Address already in use; stop what listens there, or choose another"
            " address by --web.listen-address"
        )


@pytest.mark.parametrize("text", ["", "10046", "host", "[::1]", "::1:80", ":99999", ":-1", "a:b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ListenError, match="no address to listen on"):
        parse_listen_address(text)


def test_an_unknown_host_is_one_clear_line() -> None:
    with serving() as world:
        server = WebServer(world.app, ["no-such-host.invalid:0"])
        with pytest.raises(ListenError, match=r"^cannot listen on no-such-host\.invalid:0: "):
            server.bind()


def test_a_host_that_there_cannot_be_is_one_clear_line() -> None:
    with serving() as world:
        server = WebServer(world.app, ["no..host:0"])
        with pytest.raises(
            ListenError, match=r"^cannot listen on no\.\.host:0: that is no name of"
        ):
            server.bind()


def test_stopping_does_not_wait_for_those_who_stay() -> None:
    """Idle, half-asked and not-reading connections are open when the server is to stop."""
    with serving(good_state()) as world, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(connect(world.port))) for _ in range(4)]
        clients[1].sendall(b"GET /metrics HTT")
        clients[2].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        clients[3].sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert clients[3].recv(10)
        world.server.stop()
        until(lambda: not world.server.alive, "the end, whoever stays")
        with pytest.raises(OSError, match="refused"):
            connect(world.port)
        while clients[3].recv(1000):
            pass  # ends: the server has closed it


def test_a_header_without_end_is_refused() -> None:
    with serving() as world, contextlib.closing(connect(world.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000)
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        while client.recv(1000):
            pass  # ends: the server has closed it


@pytest.mark.parametrize("place", ["path", "header"])
def test_a_long_header_is_refused_also_where_all_of_it_comes_at_once(place: str) -> None:
    long = b"a" * 40_000
    path, header = (long, b"x") if place == "path" else (b"", long)
    with serving() as world, contextlib.closing(connect(world.port)) as client:
        client.sendall(b"GET /docs/" + path + b" HTTP/1.1\r\nHost: x\r\nX: " + header + b"\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        with contextlib.suppress(ConnectionError):
            while client.recv(1000):
                pass  # ends: the server has closed it
        assert world.get(f"/docs/{'a' * 10_000}")[0].status == 404


def test_requests_that_come_in_one_go_are_all_answered() -> None:
    with serving() as world, contextlib.closing(connect(world.port)) as client:
        one = b"GET /-/ready HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1000 + b"\r\n\r\n"
        client.sendall(one * 99 + one.replace(b"Host: x", b"Connection: close\r\nHost: x"))
        said = b""
        while chunk := client.recv(65_536):
            said += chunk
        assert said.count(b"HTTP/1.1 200 OK") == 100


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"\0" * 500,
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%ff%00%0a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /默认 HTTP/1.1\r\n\r\n".encode(),
    ],
)  # fmt: skip
def test_nonsense_hurts_nobody_and_fills_no_log(
    nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(good_state()) as world:
        with contextlib.closing(connect(world.port)) as client:
            client.sendall(nonsense)
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while client.recv(1000):
                    pass
        assert world.get()[0].status == 200
    assert caplog.text == ""


def closed(client: socket.socket) -> bool:
    """Whether the server has ended the connection; eats what it sent."""
    client.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        try:
            while client.recv(65_536):
                pass
        except ConnectionError:
            pass
        return True
    return False


@contextlib.contextmanager
def answered(world: Serving, request: bytes) -> Iterator[socket.socket]:
    """A client that has the beginning of its answer. One that is short of processor time may have been
    cut off before it asked: then it comes again."""

    def ask() -> socket.socket | None:
        client = connect(world.port)
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
            if client.recv(10):
                return client
        client.close()
        return None

    with contextlib.closing(until(ask, "an answer")) as client:
        yield client


def test_clients_that_dawdle_are_cut_off() -> None:
    limits = Limits(request_seconds=1, answer_seconds=1)
    big = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 4000
    with serving(good_state(), limits=limits) as world, contextlib.ExitStack() as stack:
        asking = b"/-/ready HTTP/1.1\r\nHost: x\r\n"
        again = stack.enter_context(answered(world, b"GET " + asking + b"\r\n"))
        posting = b"POST " + asking + b"Content-Length: 1000\r\n\r\n"
        body = stack.enter_context(answered(world, posting))
        idle, dripping, deaf = (
            stack.enter_context(contextlib.closing(connect(world.port))) for _ in range(3)
        )
        dripping.sendall(b"GET / HTTP/1.1\r\n")
        sender = threading.Thread(target=_send_all, args=(deaf, big), name="deaf")
        sender.start()

        def drip() -> bool:
            for client, byte in ((dripping, b"X"), (again, b"G"), (body, b"b")):
                with contextlib.suppress(OSError):
                    client.send(byte)
            return not world.server._server.server_state.connections

        until(drip, "all to be cut off")
        sender.join(PATIENCE_SECONDS)
        # The server strikes a connection off its list a moment before its socket is closed.
        for client in (idle, dripping, again, body):
            until(partial(closed, client), "the connection to be closed")
        assert world.get("/-/ready")[0].status == 200


def _send_all(client: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.sendall(data)


def test_a_kept_connection_outlives_the_time_for_a_request() -> None:
    limits = Limits(request_seconds=0.5, answer_seconds=0.5)
    ask = b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(limits=limits) as world, answered(world, ask) as client:
        for turn in range(2):
            if turn:
                client.sendall(ask)
            answer = b""
            while not answer.endswith(b"ready\n"):
                chunk = client.recv(1000)
                assert chunk
                answer += chunk
            time.sleep(2.2)


def test_a_crowd_of_useless_clients_does_not_keep_a_scrape_out() -> None:
    """More connections than there is room for; the scrape gets in, and those who scrape stay."""
    limits = Limits(connections=20)
    with serving(good_state(), limits=limits) as world, contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(contextlib.closing(connect(world.port))) for _ in range(60)]
        for client in crowd[::2]:
            with contextlib.suppress(OSError):
                client.sendall(b"GET /metrics HTTP/1.1\r\n")
        for _ in range(5):
            assert world.get()[0].status == 200
        assert len(world.server._server.crowd) <= 20


def test_half_of_the_files_that_may_be_open_are_for_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (40, 4096))
    with serving(good_state()) as world, contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(contextlib.closing(connect(world.port)))
        assert world.get()[0].status == 200
        assert len(world.server._server.crowd) <= 20


def test_when_no_more_files_can_be_opened_it_says_so_once_and_makes_room(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept, failures = socket.socket.accept, iter(range(5))

    def scarce(listening: socket.socket) -> object:
        if next(failures, None) is not None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(listening)

    with serving(good_state()) as world, contextlib.closing(connect(world.port)) as idle:
        assert world.get()[0].status == 200
        monkeypatch.setattr(socket.socket, "accept", scarce)
        assert world.get()[0].status == 200
        assert idle.recv(1) == b""
    assert [record.message for record in caplog.records] == [
        "a connection could not be accepted; raise the limit of open files if this lasts"
    ]


def test_500_idle_or_dripping_clients_do_not_delay_a_scrape() -> None:
    with serving(good_state()) as world, contextlib.ExitStack() as stack:
        server = world.server._thread
        assert server is not None
        assert server.ident is not None
        its_work = time.pthread_getcpuclockid(server.ident)

        def scrapes_seconds(dripping: Sequence[socket.socket] = ()) -> float:
            begun = time.clock_gettime(its_work)
            for number in range(50):
                if number % 10 == 0:  # not by the clock: so often, however long a scrape takes here
                    for client in dripping:
                        with contextlib.suppress(OSError):
                            client.send(b"G")
                assert world.get()[0].status == 200
            return time.clock_gettime(its_work) - begun

        alone = min(scrapes_seconds() for _ in range(3))
        crowd = [stack.enter_context(contextlib.closing(connect(world.port))) for _ in range(500)]
        crowded = min(scrapes_seconds(crowd[::2]) for _ in range(3))
    assert crowded < 5 * alone + 0.5


def test_readers_who_wait_for_the_documentation_hold_up_no_scrape() -> None:
    arrived, made = threading.Semaphore(0), threading.Event()

    def slow(_: str) -> None:
        arrived.release()
        made.wait(PATIENCE_SECONDS)

    with serving(good_state(), manual=slow) as world:
        readers = [
            threading.Thread(target=world.get, args=("/docs/operations",), name="reader")
            for _ in range(20)
        ]
        try:
            for reader in readers:
                reader.start()
            assert all(arrived.acquire(timeout=PATIENCE_SECONDS) for _ in readers)
            for _ in range(20):
                assert world.get()[0].status == 200
            assert all(reader.is_alive() for reader in readers)
        finally:
            made.set()
            for reader in readers:
                reader.join()


def test_publishing_while_scraping_never_gives_half_an_answer() -> None:
    stop = threading.Event()

    def publish(world: Serving) -> None:
        while not stop.is_set():
            world.publish(good_state("a"), good_state("b"))
            world.telemetry.sync_succeeded("a", 0.1)

    with serving(good_state("a"), good_state("b")) as world:
        publisher = threading.Thread(target=publish, args=(world,), name="publisher")
        publisher.start()
        try:
            for _ in range(100):
                _, body = world.get(
                    headers={"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}
                )
                lines = gzip.decompress(body).decode().splitlines()
                assert lines[-1] == "# EOF"
                assert sum(line.startswith("ehpc_jobs{") for line in lines) == 12
        finally:
            stop.set()
            publisher.join()


def test_a_real_prometheus_scrapes_it(
    prometheus_tool: Callable[[str], str], tmp_path: Path
) -> None:
    prometheus = prometheus_tool("prometheus")
    with serving(good_state(), new_state(), hostile_state()) as world:
        target = f"127.0.0.1:{world.port}"
        config = f"- {{job_name: ehpc, static_configs: [{{targets: ['{target}']}}]}}\n"
        with scraping(prometheus, tmp_path, config) as address:
            until(lambda: query(address, "up{job='ehpc'} == 1"), "a scrape that succeeds")
            targets = json.loads(fetch(f"{address}/api/v1/targets"))
            assert targets["data"]["activeTargets"][0]["lastError"] == ""
            (jobs,) = query(address, "ehpc_jobs{status='finished'}")
            assert jobs["metric"] == {
                "__name__": "ehpc_jobs", "job": "ehpc", "instance": target, "cluster_name": "cfd",
                "status": "finished", "queue": "vis", "user": "bob",
            }  # fmt: skip
            assert jobs["value"][1] == "1200"  # type: ignore[index]
            hostile = query(address, "ehpc_jobs{cluster_name!='cfd', status='pending'}")
            assert [row["metric"]["user"] for row in hostile] == [HOSTILE]  # type: ignore[index]
            metadata = json.loads(
                fetch(f"{address}/api/v1/metadata?metric=ehpc_jobs_submitted_total")
            )
            kinds = (
                metadata["data"]
                or json.loads(fetch(f"{address}/api/v1/metadata?metric=ehpc_jobs_submitted"))[
                    "data"
                ]
            )
            assert [entry[0]["type"] for entry in kinds.values()] == ["counter"]


def test_promtool_has_nothing_to_say(prometheus_tool: Callable[[str], str]) -> None:
    """Of the whole answer, the process and python families included."""
    with serving(good_state(), new_state(), hostile_state()) as world:
        _, body = world.get()
    assert b"\nprocess_" in body
    assert b"\npython_" in body
    command = [prometheus_tool("promtool"), "check", "metrics"]
    result = subprocess.run(
        command, input=body, capture_output=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert (result.stdout, result.stderr, result.returncode) == (b"", b"", 0)


def test_victoria_metrics_scrapes_it(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    storage = require_tool("victoria-metrics")
    with serving(good_state(), hostile_state()) as world, kept_address() as address:
        config = tmp_path / "scrape.yml"
        config.write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n"
            f"- {{job_name: ehpc, static_configs: [{{targets: ['127.0.0.1:{world.port}']}}]}}\n"
        )
        with program(
            tmp_path / "log", address,
            storage, f"-promscrape.config={config}", "-promscrape.config.strictParse",
            f"-storageDataPath={tmp_path / 'data'}", f"-httpListenAddr={address}",
            "-search.latencyOffset=0s",
        ) as url:  # fmt: skip
            # It shows the samples of one scrape by and by.
            until(lambda: query(url, "ehpc_jobs{status='finished'}"), "a scrape")
            hostile = "ehpc_jobs{status='pending', cluster_name!='cfd'}"
            (row,) = until(lambda: query(url, hostile), "the other cluster of it")
            assert row["metric"]["user"] == HOSTILE  # type: ignore[index]
