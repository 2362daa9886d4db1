"""Waiting for signals: none is lost, whenever it comes, and to whichever thread."""

import signal
from threading import Thread

from exporter.daemon.signals import WOKEN, heeded
from tests.signalled import moments_survived


def test_a_signal_ends_a_wait_at_whichever_moment_it_comes() -> None:
    assert moments_survived(
        imports="from exporter.daemon.signals import heeded",
        block="heeded([signal.SIGTERM])",
        wait="assert wait(3600.0) == {signal.SIGTERM}",
    )


def test_what_has_come_before_the_wait_is_given_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with heeded([signal.SIGHUP, signal.SIGTERM]) as wait:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
        assert wait(0.0) == {signal.SIGHUP, signal.SIGTERM}
        assert wait(0.0) == set()
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_ends_a_wait() -> None:
    with heeded([signal.SIGTERM]) as wait:
        Thread(target=wait.wake).start()
        assert wait(3600.0) == {WOKEN}
    wait.wake()  # nobody waits any longer
