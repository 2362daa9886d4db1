"""The program loaded once, for many commands: each is a process of its own, forked from it.

Half of what a command costs is to load Python and the program. The daemon is always started anew, as people
start it, and so are the commands whose start is what a test is about.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.waiting import PATIENCE_SECONDS

_ROOT = Path(__file__).parents[2]
_FORKING = """\
import json, os, runpy, signal, sys
import exporter.cli.collecting, exporter.cli.doctor.command, exporter.daemon
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
for number, (name, flags) in enumerate(order["streams"]):
    opened = os.open(name, flags)
    os.dup2(opened, number)
    os.close(opened)
os.environ.clear()
os.environ.update(order["environ"])
signal.alarm(order["seconds"])
sys.argv = ["exporter", *order["arguments"]]
runpy.run_module("exporter", run_name="__main__", alter_sys=True)
"""


class Loaded:
    """A process that has loaded the program, and forks when it is told to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKING],
            cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        atexit.register(self._process.communicate)

    def run(self, arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        """One command, to its end; gives its exit code, and what it wrote to either stream."""
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
            streams = [(os.devnull, os.O_RDONLY), (out.name, os.O_WRONLY), (err.name, os.O_WRONLY)]
            order = {
                "arguments": arguments, "streams": streams,
                "environ": {**os.environ, **environ},  # as they are now
                "seconds": int(PATIENCE_SECONDS),
            }  # fmt: skip
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{json.dumps(order)}\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            assert code != -signal.SIGALRM, f"it does not end: {arguments}"
            return code, out.read(), err.read()


@cache
def loaded() -> Loaded:
    """That of this process."""
    return Loaded()
