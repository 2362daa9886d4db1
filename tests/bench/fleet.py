"""Calls an hour for many clusters, some of which change: with and without the change detector."""

from random import Random

from tests.bench.figures import SECONDS, Figure, Findings, Part
from tests.bench.workshop import Bench
from tests.unit.polling.fleet import SimulatedFleet

CLUSTERS = 50
FEW, ALL = 0.05, 1.0
"""The part of the clusters in which something happens in a minute."""
GOAL_CALLS, INTERVAL_SECONDS = 600, 60
NO_WORSE = 1.05
WARM_UP_MINUTES, WINDOW_MINUTES = 20, 75
JOBS, ACTIVE = 300, 40


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    minutes = 20 if bench.quick else 120
    few = f"{CLUSTERS} clusters, {FEW:.0%} change in a minute"
    bench.tell(few)
    fleet = SimulatedFleet(CLUSTERS, jobs=80 if bench.quick else JOBS, active=ACTIVE)
    before = WARM_UP_MINUTES if bench.quick else WINDOW_MINUTES
    calls, few_seconds = _follow(fleet, FEW, before, minutes)
    fleet.run(600.0)
    findings.figures = [
        Figure(f"calls an hour, {few}", calls, at_most=GOAL_CALLS, exact=True),
        Figure("the longest interval in use", few_seconds, unit=SECONDS,
               at_most=INTERVAL_SECONDS, exact=True),
        Figure("one audit interval after the last change", len(fleet.wrong()),
               unit="wrong clusters", at_most=0, exact=True),
    ]  # fmt: skip
    if not bench.quick:
        found = {(FEW, True): few_seconds}
        for part, detector in ((FEW, False), (ALL, True), (ALL, False)):
            bench.tell(f"{part:.0%} change, {'with' if detector else 'without'} the detector")
            fleet = SimulatedFleet(CLUSTERS, jobs=JOBS, active=ACTIVE, detector=detector)
            _, found[part, detector] = _follow(fleet, part, WINDOW_MINUTES, minutes)
        for part, said in ((FEW, few), (ALL, "all of them change")):
            ours, without = found[part, True], found[part, False]
            findings.figures.append(
                Figure(f"the longest interval in use, {said}", ours, without, unit=SECONDS,
                       judged=ours / without, at_most=NO_WORSE, exact=True)
            )  # fmt: skip
    findings.remarks.append(
        f"{CLUSTERS} clusters of {JOBS} jobs. The interval is 60 s, audit_interval is 10 m, and 1,000"
        f" calls an hour are allowed. In each minute, a job is submitted, starts or ends in {FEW:.0%} of"
        " the clusters, or in all of them, drawn anew each time. All calls are counted, but for the"
        " first hour and a quarter, in which profiles are found and histories are read."
    )
    return findings


def _follow(fleet: SimulatedFleet, part: float, before: int, minutes: int) -> tuple[float, float]:
    """Calls an hour, and the longest interval in use at the end, after so many minutes before."""
    rng = Random(1)
    fleet.run(60.0 * before, fleet.churn(before, part, rng))
    calls = fleet.calls
    fleet.run(60.0 * minutes, fleet.churn(minutes, part, rng))
    return (fleet.calls - calls) * 60 / minutes, fleet.longest_interval_seconds()


PART = Part("fleet", "Calls for many clusters", "without the detector", measure)
