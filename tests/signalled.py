"""A signal that comes at every moment of a wait, one after the other.

Or that another thread of the process gets: a handler then runs once the main thread does.
"""

import os
import subprocess
import sys

from tests.waiting import PATIENCE_SECONDS

_PROGRAM = """
import signal, sys, threading
{imports}

moment = steps = reached = 0
here, over = sys._getframe().f_code.co_filename, threading.Event()

def trace(frame, event, argument):
    global steps, reached
    if frame.f_code.co_filename != here:
        steps += 1
        if steps == moment:
            reached += 1
            signal.raise_signal(signal.SIGTERM)
    return trace

def signal_another_thread():
    while not over.wait(0.05):
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

with {block}:
    threading.Thread(target=signal_another_thread, daemon=True).start()
    for moment in range(1, 60):
        with {block} as wait:
            steps = 0
            sys.settrace(trace)
            {wait}
            sys.settrace(None)
    over.set()
print(reached)
"""


def moments_survived(*, imports: str, block: str, wait: str) -> int:
    """At how many moments of ``wait``, within ``block``, SIGTERM has come and ended it; it has also
    been sent to another thread, of which the moment does not matter."""
    program = _PROGRAM.format(imports=imports, block=block, wait=wait)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        timeout=PATIENCE_SECONDS, env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    return int(done.stdout)
