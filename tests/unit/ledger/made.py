"""What tests of the ledger have in common: jobs made up, what is written, and a process to die."""

import multiprocessing
import os
import resource
from collections.abc import Callable

from exporter.labels import OTHER
from exporter.ledger.counters import PUBLISHED, USER_KINDS, Amount, CounterKey
from exporter.ledger.records import Progress
from exporter.ledger.store import Ledger
from exporter.model import Job

AT = 1_700_000_000
WHOSE = "https://cloud zone ehpc-1"


def job(
    number: int | str,
    status: str = "pending",
    *,
    queue: str = "q",
    user: str = "u",
    cores: int = 1,
    submitted_at: int | None = AT,
    started_at: int | None = None,
    modified_at: int | None = AT,
) -> Job:
    """A job by its number; everything else has a value that no test depends on."""
    uuid = f"hpcjob-{number:08d}" if isinstance(number, int) else number
    return Job(uuid, status, queue, user, cores, submitted_at, started_at, modified_at)


def run_of(count: int, status: str = "finished", *, first: int = 0) -> list[Job]:
    """Jobs that changed one second after the other."""
    return [
        job(n, status, submitted_at=AT + n, started_at=AT + n, modified_at=AT + n)
        for n in range(first, first + count)
    ]


SUBMITTED = CounterKey("submitted", "q", "")
WAIT = CounterKey("waits", "q", "")


def write_some_of_everything(ledger: Ledger) -> None:
    ledger.apply(
        [job(1), job(2, "running", queue="默认队列", user='q"uo\\te\n', started_at=AT + 5)]
    )
    ledger.tally(SUBMITTED)
    ledger.tally(WAIT, seconds=31, bucket=1)
    ledger.note_activity("q", "u", AT + 0.25)
    ledger.remember_shown("queue", frozenset({"q", "默认队列"}))
    ledger.progress = Progress(began_at=AT, newest_at=AT, checked_at={"probe": 7.0}, known="all")


def happened(ledger: Ledger) -> dict[CounterKey, Amount]:
    """All that was counted of each queue and of each user, published or not, under whatever name."""
    found = dict(ledger.counters["owed"])
    for account in PUBLISHED:
        for key, amount in ledger.counters[account].items():
            if amount and (account == "elsewhere" or OTHER not in key):
                found[key] = found.get(key, Amount()).plus(amount)
    return found


def tallied(ledger: Ledger) -> dict[CounterKey, Amount]:
    """All that was counted of each queue."""
    return {key: amount for key, amount in happened(ledger).items() if key.kind not in USER_KINDS}


def without_descriptors(spare: int = 0) -> None:
    """Let this process open so many files more."""
    kept = [os.dup(0) for _ in range(spare + 1)]
    for descriptor in kept:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(kept), max(kept)))


def in_child(act: Callable[[], None]) -> int:
    """Run in a forked process; returns how it ended (negative: by which signal)."""
    child = multiprocessing.get_context("fork").Process(target=act)
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode
