"""A signal that comes at every moment of a wait, one after the other.

A handler runs between any two steps of the main thread. One that then waits for a lock which that
thread holds waits for ever, and the signal is lost.
"""

import os
import subprocess
import sys

from tests.waiting import PATIENCE_SECONDS

_PROGRAM = """
import signal, sys, threading
{imports}

moment = steps = 0
main, over = threading.get_ident(), threading.Event()

def trace(frame, event, argument):
    global steps
    if frame.f_code.co_filename != __file__:
        steps += 1
        if steps == moment:
            signal.raise_signal(signal.SIGTERM)
    return trace

def end_a_wait_without():
    while not over.wait(0.05):
        signal.pthread_kill(main, signal.SIGTERM)

__file__ = sys._getframe().f_code.co_filename
threading.Thread(target=end_a_wait_without, daemon=True).start()
with {block} as wait:
    while steps >= moment:
        moment, steps = moment + 1, 0
        sys.settrace(trace)
        {wait}
        sys.settrace(None)
    over.set()
print(moment)
"""


def moments_survived(*, imports: str, block: str, wait: str) -> int:
    """At how many moments of ``wait``, within ``block``, SIGTERM has come and ended it."""
    program = _PROGRAM.format(imports=imports, block=block, wait=wait)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        timeout=PATIENCE_SECONDS, env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    return int(done.stdout)
