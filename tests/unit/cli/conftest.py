"""What the tests of commands share: a daemon that does as it is told, and a configuration."""

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import exporter
from exporter.collector import AccountQuota
from exporter.config import AccountConfig, Config, ServeOptions
from exporter.daemon.findings import Findings
from exporter.errors import ExporterError
from exporter.redaction import Redactor
from exporter.snapshot import ClusterState

CONFIG = """\
accounts:
  - endpoint: https://hpc.api.example.com
    access_key_id: KEYID
    secret_access_key: hush-hush
clusters:
  - {name: cfd, cluster_id: ehpc-1, zone: jinan1a}
  - {name: fea, cluster_id: ehpc-2, zone: jinan1a, interval: 30s}
"""


@dataclass
class FakeDaemon:
    """What the commands ask of the daemon, written down."""

    serve_result: int | ExporterError = 0
    states: Mapping[str, ClusterState] = field(default_factory=dict)
    whole_calls: Mapping[str, int | None] = field(default_factory=dict)
    full: bool = False
    served: list[tuple[Path, ServeOptions]] = field(default_factory=list)
    served_texts: list[str] = field(default_factory=list)
    collected: list[list[str]] = field(default_factory=list)
    findings: Findings | None = None
    diagnosed: list[tuple[Config, AccountConfig]] = field(default_factory=list)

    def serve(self, config_path: Path, options: ServeOptions, redactor: Redactor) -> int:
        assert isinstance(redactor, Redactor)
        self.served.append((config_path, options))
        self.served_texts.append(config_path.read_text() if config_path.exists() else "")
        if isinstance(self.serve_result, ExporterError):
            raise self.serve_result
        return self.serve_result

    def diagnose(
        self,
        config: Config,
        account: AccountConfig,
        progressing: Callable[[str, int, int], None],
        redactor: Redactor,
    ) -> Findings:
        assert account.secret_access_key.reveal() not in redactor.clean(
            account.secret_access_key.reveal()
        )
        self.diagnosed.append((config, account))
        progressing("", 0, 25)
        assert self.findings is not None
        return self.findings

    def collect(
        self,
        config: Config,
        names: Sequence[str],
        *,
        full: bool,
        progressing: Callable[[str, int, int | None], None],
    ) -> Any:
        self.collected.append(list(names))
        self.full = full
        for name in names:
            progressing(name, 0, None)
            progressing(name, 100, 200)
        states = {name: state for name, state in self.states.items() if name in names}
        return SimpleNamespace(
            states=states,
            whole_calls=self.whole_calls,
            quotas=[AccountQuota("default", 1000, 42)],
        )


@pytest.fixture(autouse=True)
def _own_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands set up the logging of their process; here that is the tests'."""
    monkeypatch.setattr("exporter.cli.entry.set_up_logging", lambda *_: None)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> FakeDaemon:
    fake = FakeDaemon()
    module: Any = SimpleNamespace(serve=fake.serve, collect=fake.collect, diagnose=fake.diagnose)
    monkeypatch.setitem(sys.modules, "exporter.daemon", module)
    monkeypatch.setattr(exporter, "daemon", module, raising=False)
    return fake


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
