"""Taking in a page of 100 jobs: decoded and in the ledger, beside json.loads of the same bytes."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from itertools import islice
from random import Random
from typing import TypeVar

from exporter.api.payload import decode_page
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import PAGE_LIMIT
from exporter.polling.calling import CALLS_WRITTEN_TOGETHER
from exporter.simulator import DOCUMENTED, JobList, ListedJob, Order
from exporter.simulator.records import record
from tests.bench.figures import MICROSECONDS, Figure, Findings, Part
from tests.bench.followed import CLUSTER_ID, START_AT
from tests.bench.workshop import Bench

GOAL = 3.0


@dataclass(slots=True)
class Spent:
    """CPU time of this thread, in seconds, over all pages."""

    loads: float = 0.0
    decode: float = 0.0
    ledger: float = 0.0
    pages: int = 0

    def microseconds(self, seconds: float) -> float:
        """Of one page."""
        return seconds / self.pages * 1e6


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    sizes = (2_000,) if bench.quick else (10_000, 100_000, 1_000_000)
    pages = 20 if bench.quick else 300
    for size in sizes:
        active = bench.active(size)
        jobs = bench.stock.jobs(size, active)
        for name, bodies in _kinds(jobs, pages):
            bench.tell(f"{pages} pages of {name} jobs into a ledger of {size:,}")
            ledger = open_ledger(bench.stock.ledger(jobs, size, active), CLUSTER_ID)
            together = CALLS_WRITTEN_TOGETHER if name in ("new", "changed") else 1
            spent = _take_in(ledger, bodies(), together)
            ledger.close()
            taken = spent.microseconds(spent.decode + spent.ledger)
            findings.figures.append(
                Figure(
                    f"{name} jobs, {size:,} in the ledger",
                    taken,
                    spent.microseconds(spent.loads),
                    unit=MICROSECONDS,
                    judged=(spent.decode + spent.ledger) / spent.loads,
                    at_most=GOAL,
                )
            )
            findings.figures.append(
                Figure(
                    "of that, decoding",
                    spent.microseconds(spent.decode),
                    spent.microseconds(spent.loads),
                    unit=MICROSECONDS,
                )
            )
    findings.remarks.append(
        f"CPU time of the thread for one page of {PAGE_LIMIT} jobs, about 75 kB; means of {pages} pages."
        " The ledger is on disk, and SQLite's checkpoints are included. Known: nothing has changed."
        " Busy: the head of the list, where 60 jobs have changed or are new. Changed: all are active"
        " jobs that have changed, as after a restart. New: all are new, as when the history is read."
        " Known and busy pages are written one in a transaction, changed and new ones"
        f" {CALLS_WRITTEN_TOGETHER}. The goal is 3 times what json.loads alone needs for the same bytes."
    )
    return findings


def _take_in(ledger: Ledger, bodies: Iterator[bytes], together: int) -> Spent:
    """So many pages ``together`` in one transaction."""
    spent = Spent()
    while batch := list(islice(bodies, together)):
        _time(spent, "ledger", ledger.begin)
        for body in batch:
            # Whoever comes second finds the bytes in the processor's cache.
            if spent.pages % 2:
                _time(spent, "loads", partial(json.loads, body))
            page = _time(spent, "decode", partial(decode_page, body, timezone=UTC))
            _time(spent, "ledger", partial(ledger.apply, page.jobs))
            if not spent.pages % 2:
                _time(spent, "loads", partial(json.loads, body))
            spent.pages += 1
        _time(spent, "ledger", ledger.commit)
    return spent


Result = TypeVar("Result")


def _time(spent: Spent, what: str, act: Callable[[], Result]) -> Result:
    began = time.thread_time()
    result = act()
    setattr(spent, what, getattr(spent, what) + time.thread_time() - began)
    return result


Bodies = Callable[[], Iterator[bytes]]


def _kinds(jobs: JobList, pages: int) -> list[tuple[str, Bodies]]:
    return [
        ("known", lambda: _known(jobs, pages)),
        ("busy", lambda: _busy(jobs, pages)),
        ("changed", lambda: _changed(jobs, pages)),
        ("new", lambda: _new(jobs, pages)),
    ]


def _known(jobs: JobList, pages: int) -> Iterator[bytes]:
    for number in range(pages):
        offset = number * PAGE_LIMIT % (len(jobs) - PAGE_LIMIT)
        yield _body(jobs.page(order=Order.MODIFIED, offset=offset).jobs)


def _busy(jobs: JobList, pages: int) -> Iterator[bytes]:
    """What a refresh sees: a third submitted, a third started, a third ended, and what it knew."""
    head = jobs.page(order=Order.MODIFIED).jobs
    pending = list(jobs.page(status="pending", limit=10**6).jobs)
    running = list(jobs.page(status="running", limit=10**6).jobs)
    for number in range(pages):
        at = int(START_AT) + 60 * (number + 1)
        news = []
        for place in range(20):
            now_at = at - 3 * place
            submitted = _unheard_of(number * 20 + place, now_at)
            started = pending.pop(0)._replace(status="running", started_at=now_at)
            ended = running.pop(0)._replace(status="finished")
            pending.append(submitted)
            running.append(started)
            news += [submitted, *(job._replace(modified_at=now_at) for job in (started, ended))]
        fresh = {job.uuid for job in news}
        head = (news + [job for job in head if job.uuid not in fresh])[:PAGE_LIMIT]
        yield _body(head)


def _changed(jobs: JobList, pages: int) -> Iterator[bytes]:
    """Only active jobs change: these start, and end, and are requeued."""
    rng = Random(7)
    active = [*jobs.page(status="pending", limit=10**6).jobs]
    active += jobs.page(status="running", limit=10**6).jobs
    for number in range(pages):
        at = int(START_AT) + number
        status = ("running", "finished", "pending")[number * PAGE_LIMIT // len(active) % 3]
        chosen = rng.sample(active, PAGE_LIMIT)
        yield _body([job._replace(status=status, started_at=at, modified_at=at) for job in chosen])


def _new(jobs: JobList, pages: int) -> Iterator[bytes]:
    oldest = jobs.page(order=Order.MODIFIED, descending=False, limit=1).jobs[0].modified_at
    for number in range(pages):
        places = range(number * PAGE_LIMIT, (number + 1) * PAGE_LIMIT)
        yield _body([_unheard_of(10**6 + place, oldest - 7 * place) for place in places])


def _unheard_of(number: int, at: int) -> ListedJob:
    scattered = f"hpcjob-{number * 2654435761 % 2**32:08x}"  # identities have no order
    queue, user = f"queue-{number % 12:02d}", f"usr-{number % 60:04d}"
    started = None if number < 10**6 else at - 600
    status = "pending" if started is None else "finished"
    return ListedJob(scattered, number, status, queue, user, 4, at - 900, started, at)


def _body(jobs: list[ListedJob]) -> bytes:
    answer = {
        "action": "HpcJobListJobsResponse",
        "ret_code": 0,
        "total_count": 100_000,
        "hpc_job_set": [record(job, DOCUMENTED) for job in jobs],
    }
    return json.dumps(answer, ensure_ascii=False).encode()


PART = Part("intake", "Time to take in a page", "json.loads", measure)
