"""What supervisors ask of a container, against the real web server, protected in every way."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deploy.healthcheck import check, hung_up
from tests.e2e.running import ROOT
from tests.e2e.web_serving import HASH, Authority, serving

USERS = {"alice": HASH}
WAITING = "not tried yet: cfd"


def test_it_tells_what_the_exporter_says() -> None:
    with serving(ready=lambda: WAITING) as world:
        address = f"http://127.0.0.1:{world.port}"
        assert check(address) is None
        assert check(f"{address}/-/ready") == f"503: not ready: {WAITING}"
        assert check(f"127.0.0.1:{world.port}/-/ready") == f"503: not ready: {WAITING}"
        assert check(f"localhost:{world.port}/-/ready") == f"503: not ready: {WAITING}"
    said = check(address)
    assert said is not None
    assert said.startswith("no answer: ")
    said = check("http://no..host")
    assert said is not None
    assert said.startswith("no answer: ")
    said = check("http://127.0.0.1:port")
    assert said is not None
    assert said.startswith("http://127.0.0.1:port: ")


@pytest.mark.parametrize("login", ["", "alice:looking-glass"])
def test_a_password_that_it_has_not_is_no_reason_to_restart(login: str) -> None:
    with serving(users=USERS, ready=lambda: WAITING) as world:
        assert check(f"http://127.0.0.1:{world.port}/-/ready", login) is None


def test_with_the_password_it_tells_what_is_so() -> None:
    with serving(users=USERS, ready=lambda: WAITING) as world:
        address = f"http://127.0.0.1:{world.port}"
        assert check(address, "alice:wonderland") is None
        assert check(f"{address}/-/ready", "alice:wonderland") == f"503: not ready: {WAITING}"


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
def test_so_is_a_certificate_that_it_has_not(version: str, tmp_path: Path) -> None:
    more = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
    more += f"  max_version: {version}\n"
    with Authority(tmp_path).serving(more) as world:
        assert check(f"https://127.0.0.1:{world.port}") is None


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed (EOF)"), True),
        (ssl.SSLEOFError(8, "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred"), True),
        (ConnectionResetError(104, "Connection reset by peer"), True),
        (BrokenPipeError(32, "Broken pipe"), True),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), False),
        (ConnectionRefusedError(111, "Connection refused"), False),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, OSError) else "",
)
def test_every_way_of_hanging_up_is_known(error: OSError, ended: bool) -> None:
    assert hung_up(error) is ended


def accept_and_close(listener: socket.socket) -> None:
    listener.accept()[0].close()


def test_who_hangs_up_without_tls_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hang_up = threading.Thread(target=accept_and_close, args=(listener,), name="hangs up")
        hang_up.start()
        said = check(f"http://127.0.0.1:{listener.getsockname()[1]}")
        hang_up.join()
    assert said is not None
    assert said.startswith("no answer: ")


def test_the_password_comes_from_a_file(tmp_path: Path) -> None:
    login = tmp_path / "login"
    with serving(users=USERS, ready=lambda: WAITING) as world:
        command = [sys.executable, str(ROOT / "deploy/healthcheck.py")]
        command.append(f"http://127.0.0.1:{world.port}/-/ready")
        environ = {**os.environ, "EHPC_HEALTH_LOGIN_FILE": str(login)}
        assert subprocess.run(command, env=environ, check=False).returncode == 0
        login.write_text("alice:wonderland\n")
        done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"503: not ready: {WAITING}\n")


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["no text", "a directory"])
def test_a_login_that_cannot_be_read_is_said_and_no_reason_to_restart(
    tmp_path: Path, content: bytes | None
) -> None:
    login = tmp_path / "login"
    login.mkdir() if content is None else login.write_bytes(content)
    with serving(users=USERS) as world:
        command = [
            sys.executable,
            str(ROOT / "deploy/healthcheck.py"),
            f"http://127.0.0.1:{world.port}",
        ]
        environ = {**os.environ, "EHPC_HEALTH_LOGIN_FILE": str(login)}
        done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.startswith(f"{login} cannot be read: ")
