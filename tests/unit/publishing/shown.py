"""A ledger by hand, and what is published of it."""

import msgspec

from exporter.ledger.counters import CounterKey
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import Job
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher
from exporter.snapshot import ClusterSnapshot
from tests.unit.ledger.made import AT


def ledger_of(*jobs: Job) -> Ledger:
    ledger = open_ledger(None, "whose")
    with ledger.transaction():
        ledger.apply(jobs)
        ledger.progress = msgspec.structs.replace(ledger.progress, known="active")
    return ledger


def shown(ledger: Ledger, rules: LabelRules | None = None, *, at: float = AT) -> ClusterSnapshot:
    with ledger.transaction():
        snapshot = Publisher(rules or LabelRules()).snapshot(ledger, at)
    assert snapshot is not None
    return snapshot


def use(ledger: Ledger, user: str, seconds: int, queue: str = "q") -> None:
    with ledger.transaction():
        ledger.tally(CounterKey("cores", queue, user), seconds)
