"""A long hunt for a counterexample: ``python -m tests.unit.sync.hunt SECONDS [FIRST_SEED]``.

The same play as in ``test_adversary``, thrown by plain dice: no shrinking, but a hundred times as
many cases. Ledgers are on disk (with TMPDIR=/dev/shm a tenth is saved), syncs are killed, calls
fail, and now and then an answer lies. ``python -m tests.unit.sync.hunt case DIALECT SEED`` plays one
case again and tells of each sync.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from exporter.simulator import DEPLOYMENTS, DIALECTS
from tests.unit.sync.play import short_of_memory
from tests.unit.sync.upheaval import Upheaval

NAMES = (*sorted(DIALECTS), *sorted(DEPLOYMENTS), *("plausible",) * 60, *("curious",) * 20)
"""Servers by name, and others drawn at random: plausible in each trait, or odd in some."""


def hunt(seconds: float, first_seed: int, names: Sequence[str] = NAMES) -> int:
    """Play case after case; returns how many failed."""
    cases, failed, withheld = 0, 0, 0
    until = time.monotonic() + seconds
    with Progress() as progress:
        task = progress.add_task("hunting", total=seconds)
        while time.monotonic() < until:
            for name in names:
                with tempfile.TemporaryDirectory() as directory:
                    play = Upheaval(name, first_seed + cases, Path(directory))
                    try:
                        play.run()
                    except Exception as error:
                        failed += 1
                        progress.console.print(
                            f"{name} {first_seed + cases}: {type(error).__name__}: {error}"[:300]
                        )
                    withheld += play.withheld
                    play.cluster.ledger.close()
                cases += 1
            progress.update(task, completed=seconds - (until - time.monotonic()))
    print(f"{cases} cases, {failed} counterexamples, {withheld} withheld")
    return failed


def main(arguments: list[str]) -> int:
    """As the module's docstring says; 1 if there is a counterexample."""
    if arguments[0] == "case":
        with tempfile.TemporaryDirectory() as place:
            Upheaval(arguments[1], int(arguments[2]), Path(place), telling=True).run()
        return 0
    seconds, first_seed = float(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 1
    return 1 if hunt(seconds, first_seed, arguments[2:] or NAMES) else 0


if __name__ == "__main__":
    with short_of_memory():
        sys.exit(main(sys.argv[1:]))
