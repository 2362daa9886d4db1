"""Replay of a recorded workload: CSV with the columns submit_s, run_s, cores, user, queue.

A trace has neither waiting times nor outcomes: jobs queue first come first served on a fixed
number of cores for each queue, and outcomes follow from the seed and the job's place in the trace.
"""

import csv
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from exporter.simulator.engine import Engine
from exporter.simulator.joblist import JobList

COLUMNS = ("submit_s", "run_s", "cores", "user", "queue")
MOST_CORES = 10_000_000
"""Of a job, and of a queue."""
_BUSY_SHARE = 0.7
"""Of a queue's cores, on average, where their number is chosen by the trace's own load."""
_PERCENT = 100
_FINISHED, _EXITED = 86, 96


class TraceJob(NamedTuple):
    """One line of a trace."""

    submit_seconds: int
    run_seconds: int
    cores: int
    user: str
    queue: str


def parse_trace(lines: Iterable[str]) -> list[TraceJob]:
    """The jobs of a trace by submit time, those of one second in the order of the lines.

    ``ValueError`` with the number of the line if one cannot be read.
    """
    reader = csv.DictReader(lines)
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise ValueError(f"a trace needs the columns {', '.join(COLUMNS)}")
    jobs = []
    for row in reader:
        try:
            submit, run, cores = (int(float(row[name])) for name in COLUMNS[:3])
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"line {reader.line_num} of the trace has no proper number") from error
        if cores > MOST_CORES:
            raise ValueError(
                f"line {reader.line_num} of the trace has more than {MOST_CORES} cores"
            )
        jobs.append(TraceJob(submit, max(0, run), max(1, cores), row["user"], row["queue"]))
    jobs.sort(key=lambda job: job.submit_seconds)
    return jobs


def queue_capacities(trace: Sequence[TraceJob], cores: int | None = None) -> dict[str, int]:
    """Cores by queue: ``cores`` for each, or as many as keep it 70 % busy over its time in the
    trace; at least those of its widest job."""
    widest: dict[str, int] = {}
    work: dict[str, int] = {}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for job in trace:
        queue = job.queue
        widest[queue] = max(widest.get(queue, 1), job.cores)
        work[queue] = work.get(queue, 0) + job.cores * job.run_seconds
        first.setdefault(queue, job.submit_seconds)
        last[queue] = max(last.get(queue, 0), job.submit_seconds + job.run_seconds)
    return {
        queue: max(
            widest[queue],
            cores
            if cores is not None
            else math.ceil(work[queue] / max(1, last[queue] - first[queue]) / _BUSY_SHARE),
        )
        for queue in widest
    }


def outcome(seed: int, number: int) -> str:
    """How the job at place ``number`` of a trace ends: 86 % finish, 10 % fail, 4 % are cancelled."""
    lot = zlib.crc32(f"{seed}:{number}".encode()) % _PERCENT
    if lot < _FINISHED:
        return "finished"
    return "exited" if lot < _EXITED else "cancelled"


def replay(
    trace: Sequence[TraceJob],
    jobs: JobList,
    *,
    start_at: int,
    capacities: Mapping[str, int],
    seed: int = 0,
) -> Engine:
    """An engine that submits the trace's jobs into ``jobs``; ``start_at`` is the trace's second 0."""
    engine = Engine(jobs, start_at)
    for queue, cores in capacities.items():
        engine.add_queue(queue, cores)
    if trace:
        first = start_at + trace[0].submit_seconds
        engine.schedule(first, _submitter(engine, trace, start_at, seed))
    return engine


def _submitter(
    engine: Engine, trace: Sequence[TraceJob], start_at: int, seed: int
) -> Callable[[int], None]:
    """Submits what is due and puts itself down for the second of the next job."""
    place = 0

    def submit(at: int) -> None:
        nonlocal place
        while place < len(trace) and start_at + trace[place].submit_seconds <= at:
            job = trace[place]
            engine.submit(
                at,
                queue=job.queue,
                user=job.user,
                cores=job.cores,
                run_seconds=job.run_seconds,
                outcome=outcome(seed, place),
            )
            place += 1
        if place < len(trace):
            engine.schedule(start_at + trace[place].submit_seconds, submit)

    return submit
