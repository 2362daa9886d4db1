"""Power cuts that take a ledger back, while queues and users get, lose and find names: no counter falls, and in the
end each has counted everything once."""

import re
import shutil
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from exporter.labels import OTHER, Wanted
from exporter.ledger.counters import CounterKey
from exporter.ledger.published import read_published
from exporter.ledger.records import Progress
from exporter.ledger.store import Ledger, open_ledger
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher
from exporter.snapshot import ClusterSnapshot
from tests.unit.ledger.made import AT, WHOSE, job

QUEUES, USERS = ("a", "b", "c", OTHER), ("u", "v", "w", OTHER)
Event = tuple[CounterKey, int, int | None]


def events(dice: Random) -> list[Event]:
    """A job that ends, or is submitted."""
    queue, seconds, bucket = dice.choice(QUEUES), dice.randrange(100), dice.randrange(14)
    if dice.random() < 0.5:
        return [(CounterKey("submitted", queue, ""), 0, None)]
    status = dice.choice(("finished", "exited"))
    return [
        (CounterKey("ended", queue, status), 0, None),
        (CounterKey("runs", queue, status), seconds, bucket),
        (CounterKey("cores", queue, dice.choice(USERS)), seconds, None),
    ]


def rules_of(dice: Random) -> LabelRules:
    left_out = Wanted(exclude=(re.compile(dice.choice("abz")),))
    wanted = Wanted(exclude=(re.compile(dice.choice("uvz")),))
    return LabelRules("name", dice.randrange(1, 4), dice.randrange(1, 4), wanted, left_out)


def counters(snapshot: ClusterSnapshot) -> dict[tuple[str, ...], tuple[int, ...]]:
    """All that is shown, by kind, queue and status or user."""
    found: dict[tuple[str, ...], tuple[int, ...]] = {}
    for kind, tallies in (("submitted", snapshot.submitted), ("ended", snapshot.ended)):
        found |= {(kind, each.queue, each.status): (each.total,) for each in tallies}
    for run in snapshot.runs:
        found["runs", run.queue, run.status] = (*run.bucket_counts, int(run.sum_seconds))
    for used in snapshot.core_seconds:
        found["cores", used.queue, used.user] = (used.times, used.seconds)
    return found


def sums(ledger: Ledger) -> Counter[tuple[str, str]]:
    """By kind, of all series, whoever they are of."""
    found = Counter[tuple[str, str]]()
    for key, amount in ledger.counters.shown.items():
        found[key.kind, "times"] += amount.times
        found[key.kind, "seconds"] += amount.seconds
        found.update({(key.kind, str(n)): jobs for n, jobs in enumerate(amount.buckets)})
    return found


@pytest.mark.parametrize("seed", range(6))
def test_no_counter_falls_and_all_is_counted_once(seed: int, tmp_path: Path) -> None:
    dice, path = Random(seed), tmp_path / "one.ledger"
    happened: list[Event] = []
    ledger, counted = open_ledger(path, WHOSE), 0
    kept_counted = -1
    highest: dict[tuple[str, ...], tuple[int, ...]] = {}
    cuts = 0

    def sync(rules: LabelRules, batch: int) -> ClusterSnapshot:
        nonlocal counted
        with ledger.transaction():
            ledger.clear()
            ledger.apply(
                [job(n, queue=dice.choice(QUEUES), user=dice.choice(USERS)) for n in range(20)]
            )
            for key, seconds, bucket in happened[counted : counted + batch]:
                ledger.tally(key, seconds, bucket)
            counted = min(counted + batch, len(happened))
            ledger.progress = Progress(began_at=AT, known="active")
            snapshot = Publisher(rules).snapshot(ledger, AT)
        assert snapshot is not None
        for series, numbers in counters(snapshot).items():
            before = highest.get(series, numbers)
            assert all(a >= b for a, b in zip(numbers, before, strict=True)), series
            highest[series] = numbers
        return snapshot

    for _ in range(60):
        happened += [event for _ in range(dice.randrange(4)) for event in events(dice)]
        sync(rules_of(dice), dice.randrange(12))
        if dice.random() < 0.2:
            ledger.close()
            if kept_counted >= 0 and dice.random() < 0.7:
                shutil.copy(tmp_path / "kept", path)
                counted, kept_counted, cuts = kept_counted, -1, cuts + 1
            else:
                shutil.copy(path, tmp_path / "kept")
                kept_counted = counted
            ledger = open_ledger(path, WHOSE, read_published(path))
    assert cuts
    for _ in range(3):
        sync(LabelRules(), len(happened))
    assert not ledger.counters.behind
    assert not ledger.counters["owed"]
    true = Counter[tuple[str, str]]()
    for key, seconds, bucket in happened:
        true[key.kind, "times"] += 1
        true[key.kind, "seconds"] += seconds
        if bucket is not None:
            true[key.kind, str(bucket)] += 1
    assert +sums(ledger) == +true
    ledger.close()
