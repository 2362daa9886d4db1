"""What a publisher remembers from one snapshot to the next changes nothing of what it publishes."""

from random import Random

import msgspec
import pytest

from exporter.ledger.counters import CounterKey
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import Job
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher

AT = 1_700_000_000
STATUSES = ("pending", "running", "finished", "exited", "suspended")
KINDS = ("submitted", "started", "ended", "waits", "runs")


def something_happens(ledger: Ledger, dice: Random) -> None:
    jobs = [
        Job(
            f"job-{dice.randrange(60)}",
            dice.choice(STATUSES),
            f"queue-{dice.randrange(8)}",
            f"user-{dice.randrange(12)}",
            dice.randrange(1, 5),
            AT,
            AT,
            AT,
        )
        for _ in range(dice.randrange(1, 12))
    ]
    if dice.random() < 0.3:
        ledger.suspect([job.uuid for job in jobs])
        ledger.forget_suspects(AT)
    else:
        ledger.apply(jobs)
    for job in jobs[:3]:
        kind = dice.choice(KINDS)
        timed = kind in ("waits", "runs")
        key = CounterKey(kind, job.queue, job.status if kind in ("ended", "runs") else "")
        bucket = dice.randrange(14) if timed else None
        if timed:
            used = "wait" if kind == "waits" else "cores"
            ledger.tally(CounterKey(used, job.queue, job.user), dice.randrange(100))
        ledger.tally(key, seconds=dice.randrange(100) if timed else 0, bucket=bucket)
    ledger.note_activity(jobs[0].queue, jobs[0].user, AT)
    complete = dice.random() < 0.7
    ledger.progress = msgspec.structs.replace(
        ledger.progress, known="all" if complete else "active", expected=60
    )


@pytest.mark.parametrize("mode", ["name", "hash", "off"])
@pytest.mark.parametrize("seed", range(4))
def test_a_publisher_that_remembers_says_what_a_new_one_says(seed: int, mode: str) -> None:
    dice = Random(seed)
    rules = LabelRules(user_mode=mode, user_limit=5, queue_limit=4)  # type: ignore[arg-type]
    remembering = Publisher(rules)
    ledger = open_ledger(None, "whose")
    for _ in range(60):
        ledger.begin()
        something_happens(ledger, dice)
        remembering.snapshot(ledger, AT)
        if dice.random() < 0.2:
            ledger.rollback()
            continue
        ledger.commit()
        with ledger.transaction():  # the counters of a new queue have been shown at 0 by now
            published = remembering.snapshot(ledger, AT)
            assert published == Publisher(rules).snapshot(ledger, AT)
    ledger.close()
