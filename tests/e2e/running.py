"""The real process, started as people start it, against a simulated cloud in the test's process."""

import atexit
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from exporter.simulator import Account, Cloud, JobKey, JobList, JournalEntry, parse_dialect
from exporter.simulator.answers import Answer
from exporter.simulator.hosted import HostedCluster
from exporter.simulator.quota import Quota
from exporter.simulator.server import SimulatorServer
from exporter.simulator.simulation import Simulation
from tests.e2e.loaded import run_loaded
from tests.waiting import PATIENCE_SECONDS, Turns, pause_after_look, until

ROOT = Path(__file__).parents[2]
KEY_ID = "QYACCESSKEYOFTHETESTS"
SECRET = "s3cret+of/the=tests"
PATIENCE_TURNS = 60
"""What a cluster's numbers have not become after so many syncs, they never will."""

Truth = Mapping[JobKey, int] | Mapping[tuple[str, str, str], int]


# The cloud


class MeddledSimulation(Simulation):
    """Lets the test do something to a cluster between any two calls, and notes what was signed."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.meddle: Callable[[str], None] = lambda _: None
        """Called, with the lock held, with the cluster id of the call that is to be answered."""
        self.queries: list[str] = []
        """The query strings as they came over the wire, signatures included."""

    def handle(self, method: str, path: str, raw_query: str, server_at: float) -> Answer:
        """See ``Simulation``."""
        with self.lock:
            self.queries.append(raw_query)
            for cluster_id in parse_qs(raw_query).get("cluster_id", []):
                self.meddle(cluster_id)
            return super().handle(method, path, raw_query, server_at)


class World:
    """A simulated cloud that listens until the end of the block."""

    def __init__(
        self,
        *,
        quota: Quota | None = None,
        port: int = 0,
        key_ids: Iterable[str] = (KEY_ID,),
        latency_seconds: float = 0.0,
        clock_skew_seconds: float = 0.0,
    ) -> None:
        accounts = [Account(key_id, SECRET) for key_id in key_ids]
        self.cloud = Cloud(accounts, quota=quota)
        self.simulation = MeddledSimulation(self.cloud)
        self.server = SimulatorServer(
            self.simulation,
            port=port,
            latency_seconds=latency_seconds,
            clock_skew_seconds=clock_skew_seconds,
        )

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    @property
    def endpoint(self) -> str:
        return self.server.address

    def add(self, cluster_id: str, dialect: str = "documented", **more: Any) -> HostedCluster:
        """``dialect`` as ``simulate --dialect`` takes it."""
        with self.simulation.lock:
            return self.cloud.add_cluster(cluster_id, dialect=parse_dialect(dialect), **more)

    def jobs(self, cluster_id: str) -> JobList:
        """Its list; hold ``lock`` to change it."""
        return self.cloud.clusters[cluster_id].jobs

    @property
    def lock(self) -> contextlib.AbstractContextManager[object]:
        return self.simulation.lock

    def truth(self, cluster_id: str) -> Counter[JobKey]:
        with self.simulation.lock:
            return self.jobs(cluster_id).counts()

    def calls(self, cluster_id: str | None = None) -> list[JournalEntry]:
        with self.simulation.lock:
            journal = list(self.cloud.journal)
        return [entry for entry in journal if cluster_id in {None, entry.cluster_id}]

    def fault(self, name: str, **when: Any) -> None:
        with self.simulation.lock:
            self.cloud.faults.add(name, **when)

    def no_faults(self) -> None:
        with self.simulation.lock:
            self.cloud.faults.rules.clear()


def config_of(
    endpoint: str,
    clusters: Mapping[str, str] | Iterable[str],
    *,
    interval: str = "1s",
    audit_interval: str = "4s",
    staleness: str = "5m",
    state: str = ":memory:",
    timeout: str = "1m",
    quota: Mapping[str, object] | None = None,
    key_id: str = KEY_ID,
    secret: str = SECRET,
    zone: str = "jinan1a",
    timezone: str = "UTC",
    capacity_interval: str = "off",
    change_detector: str = "off",
    **more: Any,
) -> dict[str, Any]:
    """A configuration with one account; ``clusters`` are ids, or names with their ids."""
    named = clusters if isinstance(clusters, Mapping) else {each: each for each in clusters}
    return {
        "accounts": [
            {
                "endpoint": endpoint,
                "access_key_id": key_id,
                "secret_access_key": secret,
                "timeout": timeout,
                "quota": quota or {"requests": 1_000_000},
            }
        ],
        "clusters": [
            {"name": name, "cluster_id": cluster_id, "zone": zone, "timezone": timezone}
            for name, cluster_id in named.items()
        ],
        "collection": {
            "interval": interval,
            "audit_interval": audit_interval,
            "staleness": staleness,
            # Its calls are asked about where they matter: elsewhere they would be counted, and fail.
            "capacity_interval": capacity_interval,
            "change_detector": change_detector,
        },
        "state": {"path": state},
        **more,
    }


def write_config(directory: Path, config: Mapping[str, Any] | str) -> Path:
    """JSON is YAML."""
    path = directory / "config.yaml"
    path.write_text(config if isinstance(config, str) else json.dumps(config, indent=1))
    return path


# What it shows


_known: dict[str, Sample] = {}
"""Lines that were parsed before: from one scrape to the next most stay as they are."""
_MOST_KNOWN = 100_000


def parsed(lines: Sequence[str]) -> list[Sample]:
    """The samples of these lines."""
    if len(_known) > _MOST_KNOWN:
        _known.clear()
    new = [line for line in dict.fromkeys(lines) if line not in _known]
    found = text_string_to_metric_families("".join(f"{line}\n" for line in new))
    samples = [sample for family in found for sample in family.samples]
    _known.update(zip(new, samples, strict=True))
    return [_known[line] for line in lines]


class Metrics:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = text.split("\n")
        self._parsed: dict[str, list[Sample]] = {}

    def families(self) -> list[Metric]:
        """All of it, parsed."""
        return list(text_string_to_metric_families(self.text))

    def samples(self, name: str, **labels: str) -> list[Sample]:
        """The samples of one name that have these labels."""
        if name not in self._parsed:
            lines = [x for x in self._lines if x.startswith((f"{name}{{", f"{name} "))]
            self._parsed[name] = parsed(lines)
        return [each for each in self._parsed[name] if labels.items() <= each.labels.items()]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the only such sample; None if there is none."""
        found = self.samples(name, **labels)
        assert len(found) <= 1, found
        return found[0].value if found else None

    def sum(self, name: str, **labels: str) -> float:
        return sum(sample.value for sample in self.samples(name, **labels))

    def by(self, name: str, *by: str, **labels: str) -> dict[tuple[str, ...], float]:
        """Sums by these labels."""
        sums: dict[tuple[str, ...], float] = {}
        for sample in self.samples(name, **labels):
            key = tuple(sample.labels[label] for label in by)
            sums[key] = sums.get(key, 0.0) + sample.value
        return sums

    def jobs(self) -> dict[str, Counter[tuple[str, str, str]]]:
        """``ehpc_jobs`` of every cluster by status, queue and user, zeros left out."""
        shown: dict[str, Counter[tuple[str, str, str]]] = {}
        for sample in self.samples("ehpc_jobs"):
            labels = sample.labels
            key = (labels["status"], labels["queue"], labels["user"])
            counts = shown.setdefault(labels["cluster_name"], Counter())
            assert key not in counts, f"shown twice: {labels}"
            counts[key] = int(sample.value)
        return {name: +counts for name, counts in shown.items()}

    def up(self, cluster_name: str) -> float | None:
        return self.value("ehpc_up", cluster_name=cluster_name)

    def turns(self, *names: str) -> list[float]:
        """How many syncs of each of these clusters have ended."""
        ended = self.by("ehpc_syncs_total", "cluster_name")
        return [ended.get((name,), 0.0) for name in names]


def difference(shown: Truth, truth: Truth) -> dict[tuple[str, str, str], tuple[int, int]]:
    """What is shown other than it is, as (shown, true)."""
    keys = {tuple(key) for key in (*shown, *truth)}
    numbers = {
        (key[0], key[1], key[2]): (shown.get(key, 0), truth.get(key, 0))  # type: ignore[call-overload]
        for key in keys
    }
    return {key: pair for key, pair in numbers.items() if pair[0] != pair[1]}


# The process


class Exporter:
    """``python -m exporter serve``, from ``start`` to ``stop`` and perhaps anew.

    ``constants`` sets module constants, as ``{"exporter.api.budget.FIRST_PAUSE_SECONDS": 3}``:
    waits of minutes become ones that a test can sit out; the program is the same otherwise.
    """

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any] | str,
        *flags: str,
        constants: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.config_path = write_config(directory, config)
        self.log_path = directory / "log"
        self.log_path.touch()
        self._flags = flags
        self._constants = dict(constants or {})
        # Told to abort, it says what each of its threads does.
        self._environ = {**os.environ, "PYTHONFAULTHANDLER": "1", **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._address: tuple[str, int] = ("", 0)
        self._log_start = 0
        atexit.register(self._leave_nothing_behind)  # of a test that failed outside a block

    # -- its life --------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it and wait until it listens."""
        assert self._process is None
        self._log_start = self.log_path.stat().st_size
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command(), "serve", f"--config.file={self.config_path}",
                 "--web.listen-address=127.0.0.1:0", *self._flags],
                cwd=ROOT, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        found = until(self._listening, f"the exporter to listen; its log: {self.log_path}")
        self._address = ("127.0.0.1", int(found[1]))
        return self

    def _command(self) -> list[str]:
        if not self._constants:
            return [sys.executable, "-m", "exporter"]
        lines = ["import importlib, sys", "sys.path.insert(0, '')"]
        for name, value in self._constants.items():
            module, _, constant = name.rpartition(".")
            lines.append(f"module = importlib.import_module({module!r})")
            lines.append(f"assert hasattr(module, {constant!r})")
            lines.append(f"module.{constant} = {value!r}")
        lines += ["from exporter.cli import main", "sys.exit(main())"]
        return [sys.executable, "-c", "\n".join(lines)]

    def _listening(self) -> re.Match[str] | None:
        assert self.process.poll() is None, f"it has ended: {self.log()}"
        return re.search(r"msg=listening .*?port=(\d+)", self.log(since_start=True)) or re.search(
            r'"msg": ?"listening".*?"port": ?(\d+)', self.log(since_start=True)
        )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it does not run"
        return self._process

    def stop(self) -> None:
        """SIGTERM; it ends by itself, whatever hangs, and says that all is well."""
        process, self._process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
            raise AssertionError(f"still there long after SIGTERM: {self.log()[-8000:]}") from None
        assert code == 0, self.log()

    def kill(self) -> None:
        """SIGKILL."""
        process, self._process = self.process, None
        process.kill()
        process.wait()

    def _leave_nothing_behind(self) -> None:
        if self._process is not None:
            self.kill()

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        if kind is not None:
            self.kill()
            print(f"--- the exporter's log\n{self.log()[-8000:]}")
            return
        assert self._process.poll() is None, f"it has ended by itself: {self.log()}"
        self.stop()
        # An error that nobody foresaw is a defect, whatever else went well.
        assert "Traceback" not in self.log()
        assert "error of this program" not in self.log()

    # -- what it says ------------------------------------------------------------------------

    def log(self, *, since_start: bool = False) -> str:
        text = self.log_path.read_bytes()
        return text[self._log_start if since_start else 0 :].decode()

    def log_lines(self, *words: str) -> list[str]:
        """The lines that hold all of these."""
        return [x for x in self.log().split("\n") if all(word in x for word in words)]

    def get(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection(*self._address, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read().decode()

    @property
    def address(self) -> str:
        """As ``127.0.0.1:43210``."""
        return f"{self._address[0]}:{self._address[1]}"

    def scrape(self) -> Metrics:
        status, text = self.get("/metrics")
        assert status == 200, text
        return Metrics(text)

    def rewrite_config(self, config: Mapping[str, Any] | str) -> None:
        write_config(self.directory, config)

    # -- waiting for it ----------------------------------------------------------------------

    def until_ready(self) -> None:
        """Every cluster has been tried."""
        until(lambda: self.get("/-/ready")[0] == 200, "readiness")

    def until_right(
        self,
        wrong: Callable[[Metrics], object],
        names: Collection[str],
        *,
        turns: float = PATIENCE_TURNS,
    ) -> Metrics:
        """Nothing is ``wrong`` any more; gives the scrape. Each of the clusters has some turns."""
        began = time.monotonic()
        metrics = self.scrape()
        taken = Turns(min(metrics.turns(*names)))
        while found := wrong(metrics):
            assert taken.since_then(min(metrics.turns(*names))) <= turns, f"still wrong: {found}"
            pause_after_look(began)
            began = time.monotonic()
            metrics = self.scrape()
        return metrics

    def until_up(self, *names: str) -> Metrics:
        """These clusters are up; gives the scrape that shows it."""

        def down(metrics: Metrics) -> list[str]:
            return [name for name in names if metrics.up(name) != 1]

        return self.until_right(down, names)

    def until_true(self, truths: Mapping[str, Truth], *, turns: float = PATIENCE_TURNS) -> Metrics:
        """``ehpc_jobs`` of these clusters, by name, is exactly this; gives the scrape."""

        def false(metrics: Metrics) -> dict[str, object]:
            shown = metrics.jobs()
            found = {
                name: difference(shown.get(name, Counter()), truth)
                for name, truth in truths.items()
            }
            return {name: wrong for name, wrong in found.items() if wrong}

        return self.until_right(false, truths, turns=turns)

    def scrapes(self, names: Collection[str], *, turns: float) -> Iterator[Metrics]:
        """What it shows while these clusters have so many turns, all together."""
        began = time.monotonic()
        metrics = self.scrape()
        taken = Turns(sum(metrics.turns(*names)))
        while taken.since_then(sum(metrics.turns(*names))) < turns:
            yield metrics
            pause_after_look(began)
            began = time.monotonic()
            metrics = self.scrape()


def run_command(
    *arguments: str, environ: Mapping[str, str] | None = None, anew: bool = False
) -> subprocess.CompletedProcess[str]:
    """Another command, to its end. ``anew``: with a Python of its own, as people start it; otherwise
    forked from one that has loaded the program."""
    if anew:
        ended = subprocess.run(
            [sys.executable, "-m", "exporter", *arguments],
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        code, out, err = ended.returncode, ended.stdout, ended.stderr
    else:
        code, out, err = run_loaded(arguments, environ or {})
    # Not in text mode: that would change the line ends within names.
    return subprocess.CompletedProcess(arguments, code, out.decode(), err.decode())


@contextlib.contextmanager
def simulating(*flags: str) -> Iterator[str]:
    """The ``simulate`` command until the end of the block; gives its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter", "simulate", "--listen-address=127.0.0.1:0", *flags],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        found = re.search(r"listening on (http://\S+)", greeting)
        assert found, greeting
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stdout is not None
        process.stdout.close()
