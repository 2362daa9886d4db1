"""Servers that sort by submission only: calls a refresh, and how soon all counts are right."""

from dataclasses import replace

from tests.bench.figures import SECONDS, Figure, Findings, Part
from tests.bench.followed import IN_UTC, START_AT, Followed, Turn
from tests.bench.stock import Churn
from tests.bench.workshop import PLENTY, Bench
from tests.unit.sync.settled import SERVERS

NAMES = ("console", "console-strict", "console-by-id", "sort-refused")
INTERVAL_SECONDS = 5.0
CHANGES_A_SYNC = 20
LONGEST_REST_SECONDS = 240.0
"""After so long it is given up: the goal is far away."""
GOAL_CALLS, GOAL_SECONDS = 8, 60


class Rounds:
    """Lets a list change for a while, then rest until all that is published is right, and so on."""

    def __init__(self, churn: Churn, rounds: int, busy_seconds: float) -> None:
        self._churn = churn
        self._busy_seconds = busy_seconds
        self._left = rounds
        self._since_at = START_AT
        """When the list has begun to change, or to rest."""
        self.busy: list[Turn] = []
        """Those during which it changed."""
        self.longest_seconds = 0.0
        """From the last change until all is right."""

    def after(self, followed: Followed, turn: Turn) -> None:
        """A turn has published."""
        now_at, resting = followed.clock.now_at(), self._churn.resting
        lasted_seconds = now_at - self._since_at
        if resting:
            self.longest_seconds = max(self.longest_seconds, lasted_seconds)
            over = not followed.shown_wrong()
        else:
            self.busy.append(turn)
            over = lasted_seconds >= self._busy_seconds
        if over:
            self._churn.resting, self._since_at = not resting, now_at
            self._left -= resting
        if not self._left:
            followed.end()


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    size, active = (1_500, 100) if bench.quick else (20_000, 300)
    rounds, busy_seconds = (1, 30.0) if bench.quick else (10, 240.0)
    naive = None if bench.quick else bench.naive_look(size)["calls"]
    for name in NAMES[:1] if bench.quick else NAMES:
        bench.tell(f"{rounds} times {busy_seconds:.0f} s with {name}")
        found = _follow(bench, name, size, active, rounds, busy_seconds)
        calls = sum(turn.calls + turn.background for turn in found.busy) / len(found.busy)
        findings.figures += [
            Figure(f"calls a refresh, {name}", calls, naive, at_most=GOAL_CALLS, exact=True),
            Figure(f"until all counts are right, {name}", found.longest_seconds, unit=SECONDS,
                   at_most=GOAL_SECONDS, exact=True),
        ]  # fmt: skip
    findings.remarks.append(
        f"{active} active jobs of {size:,}. The interval is {INTERVAL_SECONDS:.0f} s,"
        f" {CHANGES_A_SYNC} changes happen in it, and the number of calls is not limited. Audits are"
        f" counted. After every {busy_seconds:.0f} s the list rests: the time is that from its last"
        " change until all published counts, end statuses included, are right; the longest of"
        f" {rounds}. The servers are dialects of the simulator. The console ones sort by submission"
        " only. Asked for another order, console lists by submission, console-strict refuses, and"
        " console-by-id answers with code 5000. The last one refuses every sort key, and lists by"
        " submission."
    )
    return findings


def _follow(
    bench: Bench, name: str, size: int, active: int, rounds: int, busy_seconds: float
) -> Rounds:
    jobs = bench.stock.jobs(size, active)
    churn = Churn(jobs, per_minute=CHANGES_A_SYNC * 60 / INTERVAL_SECONDS)
    found = Rounds(churn, rounds, busy_seconds)
    followed = Followed(
        jobs,
        bench.stock.ledger(jobs, size, active, SERVERS[name]),
        world=churn,
        dialect=SERVERS[name],
        settings=replace(IN_UTC, interval_seconds=INTERVAL_SECONDS),
        allowed=PLENTY,
        after_turn=found.after,
    )
    followed.run(rounds * (busy_seconds + LONGEST_REST_SECONDS))
    return found


PART = Part("submission", "Calls a refresh, sorted by submission only", "naive exporter", measure)
