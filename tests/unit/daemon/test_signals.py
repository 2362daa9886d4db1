"""Waiting for signals: none is lost, whenever it comes."""

import signal
import threading

from exporter.daemon.signals import WOKEN, Signals
from tests.signalled import moments_survived
from tests.waiting import PATIENCE_SECONDS

IMPORTS = """
import contextlib
from exporter.daemon.signals import WOKEN, Signals
from tests.waiting import PATIENCE_SECONDS

signals = Signals([signal.SIGTERM])
signals.heed()
"""


def test_a_signal_ends_a_wait_at_whichever_moment_it_comes() -> None:
    survived = moments_survived(
        imports=IMPORTS,
        block="contextlib.nullcontext(signals.wait)",
        wait="assert wait(3600.0) == {signal.SIGTERM}",
    )
    assert survived > 3


def test_what_has_come_before_the_wait_is_given_once() -> None:
    signals = Signals([signal.SIGHUP, signal.SIGTERM])
    kept = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    signals.heed()
    try:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
        assert signals.wait(0.0) == {signal.SIGHUP, signal.SIGTERM}
        assert signals.wait(0.0) == set()
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def test_anybody_may_wake_who_waits() -> None:
    signals = Signals([])
    threading.Timer(0.0, signals.wake).start()
    assert signals.wait(PATIENCE_SECONDS) == {WOKEN}
    signals.wake()
    signals.wake()
    assert signals.wait(0.0) == {WOKEN}
    assert signals.wait(0.0) == set()
