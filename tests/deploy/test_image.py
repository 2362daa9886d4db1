"""The image, really built and run: no root, no capability, a root file system that is read-only.

It takes minutes where the base image has to be made, and programs that few have: it runs where
EHPC_TEST_IMAGE is set, and needs buildah, podman, runc and mmdebstrap, and root. Instead of pulling
the base image, it makes one of Debian packages.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import ROOT, Metrics, World, config_of, write_config
from tests.waiting import PATIENCE_SECONDS, until

if not os.environ.get("EHPC_TEST_IMAGE"):
    pytest.skip("EHPC_TEST_IMAGE is not set; see this file's head", allow_module_level=True)

DOCKERFILE = ROOT / "deploy/Dockerfile"
PODMAN = ("podman", "--cgroup-manager=cgroupfs", "--runtime=runc")
USER = 10046
REVISION = "0123456789abcdef0123456789abcdef01234567"
CLUSTER = "ehpc-1"


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


BASE = "localhost/ehpc-exporter-test-base:bookworm"
"""Made here, and not pulled: a Python that is older than that of the real one."""


def settings_of_pip() -> list[str]:
    """Mounts that give the build this machine's settings of pip and certificates, if it has any."""
    settings = {
        "/etc/pip.conf": Path("/etc/pip.conf"),
        "/root/.config/pip/pip.conf": Path("~/.config/pip/pip.conf").expanduser(),
    }
    told = [path.read_text() for path in settings.values() if path.exists()]
    certificates = re.findall(r"^cert\s*=\s*(\S+)", "\n".join(told), re.MULTILINE)
    mounts = settings | {name: Path(name) for name in certificates}
    return [f"--volume={path}:{name}:ro" for name, path in mounts.items() if path.exists()]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    for tool in ("buildah", "podman", "runc", "mmdebstrap"):
        assert shutil.which(tool), f"{tool} is missing"
    if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode:
        archive = tmp_path_factory.mktemp("base") / "base.tar"
        packages = "python3,python3-venv,ca-certificates"
        mirrors = [str(path) for path in Path("/etc/apt/sources.list.d").glob("debian.sources")]
        run("mmdebstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(archive),
            *mirrors)  # fmt: skip
        run("podman", "import", str(archive), BASE)
        archive.unlink()
    name = f"localhost/ehpc-exporter-test:{uuid.uuid4().hex[:8]}"
    run(
        "buildah", "bud", "--format=docker", "--isolation=chroot", "--network=host", "--pull-never",
        *settings_of_pip(), f"--build-arg=BASE={BASE}", "--build-arg=VERSION=0.0-test",
        f"--build-arg=REVISION={REVISION}", f"--file={DOCKERFILE}", f"--tag={name}",
        str(ROOT),
    )  # fmt: skip
    yield name
    run("podman", "image", "rm", "--force", name)


class Container:
    """The image, running with as little as it may have."""

    def __init__(self, image: str, config: Path, volume: str, user: str = "") -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self.name = f"ehpc-test-{uuid.uuid4().hex[:8]}"
        config.parent.chmod(0o755)
        run(
            *PODMAN, "run", "--detach", f"--name={self.name}", "--network=host", "--read-only",
            "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges",
            "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024",
            f"--env=EHPC_HEALTH_ADDRESS=http://127.0.0.1:{self.port}",
            *([f"--user={user}"] if user else []),
            f"--volume={config.parent}:/etc/ehpc-exporter:ro",
            f"--volume={volume}:/var/lib/ehpc-exporter", image,
            "serve", "--config.file=/etc/ehpc-exporter/config.yaml",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )  # fmt: skip

    def metrics(self) -> Metrics | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/metrics")
            return Metrics(connection.getresponse().read().decode())
        return None

    def until_up(self) -> Metrics:
        def up() -> Metrics | None:
            assert self.inspect("{{.State.Running}}") == "true", self.log()
            metrics = self.metrics()
            return metrics if metrics is not None and metrics.up(CLUSTER) == 1 else None

        return until(up, "the container to be up")

    def inspect(self, what: str) -> str:
        return run(*PODMAN, "inspect", f"--format={what}", self.name).strip()

    def status(self) -> dict[str, str]:
        """What the kernel says of process 1."""
        status = Path(f"/proc/{self.inspect('{{.State.Pid}}')}/status").read_text()
        return dict(re.findall(r"^(\w+):\t(.*)$", status, re.MULTILINE))

    def heeds_sigterm(self) -> bool:
        """The program, that is: what starts it in the container has handlers of its own."""
        started = Path(f"/proc/{self.inspect('{{.State.Pid}}')}/exe").readlink()
        return "python" in started.name and bool(
            int(self.status()["SigCgt"], 16) >> (signal.SIGTERM - 1) & 1
        )

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PODMAN, "exec", self.name, *command], capture_output=True, text=True, check=False
        )

    def log(self) -> str:
        return run(*PODMAN, "logs", self.name)

    def stop(self) -> int:
        """SIGTERM to process 1; its exit code."""
        run(*PODMAN, "kill", f"--signal={signal.SIGTERM.value}", self.name)
        return int(run(*PODMAN, "wait", self.name))


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        world.add(CLUSTER)
        with world.lock:
            for number in range(250):
                world.jobs(CLUSTER).submit(1_700_000_000 + number, queue="q", user="u", cores=4)
        yield world


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"ehpc-test-{uuid.uuid4().hex[:8]}"
    run(*PODMAN, "volume", "create", name)
    yield name
    run(*PODMAN, "volume", "rm", "--force", name)


def test_it_runs_with_nothing(image: str, world: World, volume: str, tmp_path: Path) -> None:
    config = config_of(world.endpoint, [CLUSTER])
    del config["state"]  # the default is the volume
    path = write_config(tmp_path, config)
    path.chmod(0o644)
    container = Container(image, path, volume)
    try:
        assert container.until_up().sum("ehpc_jobs", status="pending") == 250
        facts = container.status()
        assert facts["Uid"].split() == [str(USER)] * 4
        assert facts["Gid"].split() == ["0"] * 4
        assert {int(facts[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
        assert facts["NoNewPrivs"] == "1"
        assert facts["NSpid"].split()[-1] == "1"
        assert "Read-only" in container.exec("touch", "/etc/ehpc-exporter/x").stderr
        assert container.exec("test", "-w", "/opt/ehpc-exporter").returncode == 1
        assert run(*PODMAN, "healthcheck", "run", container.name) == ""
        read = (
            "from exporter.web.manual import Manual; print(Manual('').leaf('operations') is None)"
        )
        assert container.exec("python3", "-c", read).stdout.strip() == "False"
        build = container.until_up().samples("ehpc_exporter_build_info")
        assert [sample.labels["revision"] for sample in build] == [REVISION]
        ledgers = container.exec("sh", "-c", "ls /var/lib/ehpc-exporter/*.ledger").stdout.split()
        assert len(ledgers) == 1
        assert container.stop() == 0, container.log()
        assert "Traceback" not in container.log()
    finally:
        run(*PODMAN, "rm", "--force", "--volumes", container.name)


def test_any_user_of_group_0_will_do(image: str, world: World, volume: str, tmp_path: Path) -> None:
    config = config_of(world.endpoint, [CLUSTER])
    del config["state"]
    write_config(tmp_path, config).chmod(0o644)
    container = Container(image, tmp_path / "config.yaml", volume, user="1000730000:0")
    try:
        assert container.until_up().sum("ehpc_ledger_on_disk") == 1
        assert container.stop() == 0, container.log()
    finally:
        run(*PODMAN, "rm", "--force", "--volumes", container.name)


def test_a_reload_reads_a_file_that_was_replaced(
    image: str, world: World, volume: str, tmp_path: Path
) -> None:
    """As editors and configuration management do it, and ConfigMaps."""
    config = config_of(world.endpoint, {"before": CLUSTER})
    config["state"]["path"] = "./state"
    write_config(tmp_path, config).chmod(0o644)
    container = Container(image, tmp_path / "config.yaml", volume)

    def renamed() -> bool:
        metrics = container.metrics()
        return metrics is not None and metrics.up("after") == 1

    try:
        until(lambda: (shown := container.metrics()) and shown.up("before") == 1, "the first look")
        config["clusters"][0]["name"] = "after"
        (tmp_path / "new").mkdir()
        new = write_config(tmp_path / "new", config)
        new.chmod(0o644)
        new.replace(tmp_path / "config.yaml")
        run(*PODMAN, "kill", "--signal=HUP", container.name)
        until(renamed, "the new name")
        assert container.stop() == 0, container.log()
    finally:
        run(*PODMAN, "rm", "--force", "--volumes", container.name)


def test_a_new_container_goes_on_where_the_old_one_ended(
    image: str, world: World, volume: str, tmp_path: Path
) -> None:
    path = write_config(tmp_path, config_of(world.endpoint, [CLUSTER], state="state"))
    path.chmod(0o644)
    for calls in (None, 5):
        began = len(world.calls())
        container = Container(image, path, volume)
        try:
            container.until_up()
            assert calls is None or len(world.calls()) - began <= calls
            assert container.stop() == 0, container.log()
        finally:
            run(*PODMAN, "rm", "--force", "--volumes", container.name)


def test_it_ends_while_it_starts(image: str, world: World, volume: str, tmp_path: Path) -> None:
    """What process 1 has no handler for never reaches it; it has one before it begins its work."""
    path = write_config(tmp_path, config_of(world.endpoint, [CLUSTER], state="state"))
    path.chmod(0o644)
    for _ in range(3):
        container = Container(image, path, volume)
        try:
            until(container.heeds_sigterm, "a handler")
            assert container.stop() == 0, container.log()
            assert "Traceback" not in container.log()
        finally:
            run(*PODMAN, "rm", "--force", "--volumes", container.name)


def test_the_simulated_cloud_runs_in_it_too(image: str) -> None:
    name = f"ehpc-test-{uuid.uuid4().hex[:8]}"
    command = (*PODMAN, "run", "--detach", f"--name={name}", "--network=host", "--read-only",
               "--read-only-tmpfs=false", "--cap-drop=all", "--no-healthcheck",
               "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", image,
               "simulate", "--listen-address=127.0.0.1:0")  # fmt: skip
    run(*command)
    try:
        until(lambda: "cluster_id" in run(*PODMAN, "logs", name), "the simulated cloud")
        run(*PODMAN, "kill", f"--signal={signal.SIGTERM.value}", name)
        assert run(*PODMAN, "wait", name).strip() == "0"
    finally:
        run(*PODMAN, "rm", "--force", "--volumes", name)


def test_what_is_in_it(image: str) -> None:
    settings = json.loads(run("podman", "image", "inspect", image))[0]["Config"]
    assert settings["User"] == f"{USER}:0"
    assert settings["Volumes"] == {"/var/lib/ehpc-exporter": {}}
    assert list(settings["ExposedPorts"]) == ["10046/tcp"]
    assert settings["StopSignal"] == "SIGTERM"
    labels = settings["Labels"]
    assert labels["org.opencontainers.image.version"] == "0.0-test"
    assert labels["org.opencontainers.image.revision"] == REVISION
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.base.name"] == BASE
    # Nothing of the machine that built it is told.
    history = run("podman", "history", "--no-trunc", "--format={{.CreatedBy}}", image)
    assert not re.findall(r"https?://\S+|PIP_\w+", history + str(settings))
    strays = run(
        *PODMAN, "run", "--rm", "--network=none", "--ulimit=nofile=1024:1024",
        "--ulimit=nproc=1024:1024", "--no-healthcheck", "--entrypoint=find", image,
        "/etc/ehpc-exporter", "/var/lib/ehpc-exporter", "/opt/ehpc-exporter",
        "-type", "f", "(", "-not", "-path", "/opt/*", "-o", "-path", "*/site-packages/tests/*", ")",
    )  # fmt: skip
    assert strays.split() == []
