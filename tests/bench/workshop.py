"""What every part needs: a place for files, the stock, the naive exporter, and somebody to tell."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.followed import CLUSTER_ID
from tests.bench.stock import Stock

ROOT = Path(__file__).parents[2]
ACTIVE = 2_000
"""Active jobs in a list, where it is long enough."""
CHANGES_A_MINUTE = 60.0
PLENTY = 10**6
"""Calls an hour where their number is not to be limited."""


@dataclass(slots=True)
class Bench:
    """One run of the benchmarks."""

    directory: Path
    quick: bool = False
    tell: Callable[[str], None] = lambda _: None
    stock: Stock = field(init=False)
    _looks: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stock = Stock(self.directory)

    def active(self, jobs: int) -> int:
        """How many of a list's jobs are active."""
        return min(ACTIVE, jobs // 5)

    def naive_look(self, jobs: int, address: str | None = None) -> dict[str, Any]:
        """What one refresh takes the naive exporter: really done, over HTTP, once for each size."""
        if jobs not in self._looks:
            self.tell(f"the naive exporter pages through {jobs:,} jobs")
            if address is not None:
                self._looks[jobs] = _look(address)
            else:
                with cloud_process(jobs, self.active(jobs), 0.001) as started:
                    self._looks[jobs] = _look(started)
        return self._looks[jobs]


def _look(address: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.naive", address, CLUSTER_ID]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    look: dict[str, Any] = json.loads(done.stdout)
    return look


@contextmanager
def cloud_process(jobs: int, active: int, per_minute: float, *, clusters: int = 0) -> Iterator[str]:
    """A simulated cloud in a process of its own; gives its address. Its ``clusters``, beside that of
    ``CLUSTER_ID``, have the same list."""
    command = [sys.executable, "-m", "tests.bench.cloud_process"]
    command += [str(jobs), str(active), str(per_minute), str(clusters)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(30)
