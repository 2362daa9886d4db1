"""CPU time to read a long history, from an empty ledger to a complete one."""

import time

from tests.bench.figures import SECONDS, WRONG, Figure, Findings, Part
from tests.bench.followed import Followed, Turn
from tests.bench.workshop import Bench

GOAL_SECONDS = 30.0
LONGEST_SECONDS = 30 * 86400.0


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    size, tenth = (5_000, 500) if bench.quick else (1_000_000, 100_000)
    took = {}
    for jobs in (tenth, size):
        bench.tell(f"a history of {jobs:,} jobs")
        took[jobs], wrong = _read(bench, jobs)
        findings.figures.append(
            Figure(
                f"{jobs:,} jobs",
                took[jobs],
                took[tenth],
                unit=SECONDS,
                at_most=GOAL_SECONDS if jobs == size else None,
            )
        )
    findings.figures.append(Figure("wrong in the end", wrong, unit=WRONG, at_most=0))
    findings.remarks.append(
        "All of it, decoding included, with as many calls as it wants, onto disk; without what the"
        " simulated cloud costs. Beside it a tenth of the jobs."
    )
    return findings


def _read(bench: Bench, size: int) -> tuple[float, int]:
    """CPU seconds, and how many counts are wrong in the end."""
    jobs = bench.stock.jobs(size, bench.active(size))
    followed = Followed(jobs, bench.stock.new_path(), allowed=10**9)

    def end_when_complete(followed: Followed, _: Turn) -> None:
        if followed.shown is not None and followed.shown.history_complete:
            followed.end()

    followed.after_turn = end_when_complete
    jobs.page()  # the simulated cloud's indices
    began = time.process_time()
    followed.run(LONGEST_SECONDS)
    spent = time.process_time() - began - followed.simulating_seconds
    return spent, followed.wrong()


PART = Part("history", "CPU time to read a history", "a tenth of it", measure)
