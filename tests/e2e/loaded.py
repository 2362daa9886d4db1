"""The program loaded once, for many commands: each is a process of its own, forked from one that has it.

Half of what a command costs is to load Python and the program. The daemon is always started anew, as people
start it, and so are the commands whose start is what a test is about.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.waiting import PATIENCE_SECONDS

_ROOT = Path(__file__).parents[2]
_LOADED = multiprocessing.get_context("forkserver")
_LOADED.set_forkserver_preload(
    ["exporter.cli.collecting", "exporter.cli.doctor.command", "exporter.daemon", __name__]
)


def run_loaded(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """One command, to its end; gives its exit code, and what it wrote to either stream."""
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        ours = {**os.environ, **environ}
        process = _LOADED.Process(target=_run, args=(arguments, ours, out.name, err.name))
        process.start()
        process.join(PATIENCE_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise AssertionError(f"it does not end: {arguments}")
        code = process.exitcode
        process.close()
        return code, out.read(), err.read()


def _run(arguments: Sequence[str], environ: Mapping[str, str], out: str, err: str) -> None:
    for number, name in (
        (1, out),
        (2, err),
    ):  # nothing is to be read from 0, as multiprocessing has it
        opened = os.open(name, os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(_ROOT)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["exporter", *arguments]
    runpy.run_module("exporter", run_name="__main__", alter_sys=True)
