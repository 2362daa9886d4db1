"""The program loaded once, for many commands: each is a process of its own, forked from it.

Half of what a command costs is to load Python and the program. The daemon is always started anew, as people
start it, and so are the commands whose start is what a test is about.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.waiting import PATIENCE_SECONDS

_ROOT = Path(__file__).parents[2]
_FORKING = """\
import json, os, runpy, sys
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
os.environ.update(order["environ"])
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
            order = {"arguments": arguments, "environ": {**environ}, "streams": streams}
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            # Whatever hangs is told of.
            timer = threading.Timer(PATIENCE_SECONDS, self._process.kill)
            timer.start()
            self._process.stdin.write(f"{json.dumps(order)}\n")
            self._process.stdin.flush()
            code = self._process.stdout.readline()
            timer.cancel()
            timer.join()
            assert code, f"it does not end: {arguments}"
            return int(code), out.read(), err.read()


@cache
def loaded() -> Loaded:
    """That of this process."""
    return Loaded()
