"""Queues and users that are not wanted have no series, and are counted on; groups of those shown."""

import re

import pytest

from exporter.labels import OTHER, Groups, Wanted
from exporter.ledger.counters import CounterKey
from exporter.ledger.store import Ledger
from exporter.publishing.naming import LabelRules, pseudonym
from exporter.snapshot import ClusterSnapshot, UserGroup
from tests.unit.ledger.made import job
from tests.unit.publishing.shown import ledger_of, shown, use

NO_DEBUG = LabelRules(queues=Wanted(exclude=(re.compile("debug|x"),)))
NO_ROOT = LabelRules(users=Wanted(exclude=(re.compile("root"),)))
ONLY_LI = LabelRules(users=Wanted(include=(re.compile("l."),)))


def end(ledger: Ledger, queue: str) -> None:
    with ledger.transaction():
        ledger.tally(CounterKey("ended", queue, "finished"))


def ended(snapshot: ClusterSnapshot) -> dict[str, int]:
    return {t.queue: t.total for t in snapshot.ended if t.status == "finished"}


def mixed() -> Ledger:
    return ledger_of(
        job(1, queue="debug", user="li", submitted_at=5), job(2, user="li"), job(3, user="root"),
        job(4, "running", queue="debugger", user="root"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "pairs"),
    [
        (LabelRules(), {("debug", "li"), ("q", "li"), ("q", "root"), ("debugger", "root")}),
        (NO_DEBUG, {("q", "li"), ("q", "root"), ("debugger", "root")}),
        (NO_ROOT, {("debug", "li"), ("q", "li")}),
        (ONLY_LI, {("debug", "li"), ("q", "li")}),
    ],
)
def test_what_is_left_out_has_no_series(rules: LabelRules, pairs: set[tuple[str, str]]) -> None:
    ledger = mixed()
    snapshot = shown(ledger, rules)
    assert {(count.queue, count.user) for count in snapshot.counts} == pairs
    for rows in (snapshot.core_seconds, snapshot.user_waits):
        assert {row[:2] for row in rows} == pairs
    queues = {queue for queue, _ in pairs}
    assert {tally.queue for tally in snapshot.submitted} == queues
    assert (snapshot.folded_queues, snapshot.folded_users) == (0, 0)
    assert snapshot.history_known == 4, "it is of the list all the same"


def test_it_takes_no_place_of_those_that_are_shown() -> None:
    rules = LabelRules(user_limit=1, users=NO_ROOT.users)
    ledger = ledger_of(*(job(n, user="root") for n in range(9)), job(9, user="li"))
    assert {count.user for count in shown(ledger, rules).counts} == {"li"}


def test_a_filter_that_comes_and_goes_loses_and_doubles_nothing() -> None:
    """Nor does a counter that comes back begin at 0, which a rate would take for so many events."""
    ledger = mixed()
    shown(ledger)
    end(ledger, "debug")
    use(ledger, "li", 7, "debug")
    assert (ended(shown(ledger))["debug"], used_in(shown(ledger), "debug")) == (1, 7)
    for rules in (NO_DEBUG, LabelRules(users=Wanted(include=(re.compile("root"),)))):
        shown(ledger, rules)
        end(ledger, "debug")
        use(ledger, "li", 10, "debug")
        ledger = ledger.copied_to(None)
    end(ledger, "x")  # a queue of which nothing was ever shown
    shown(ledger, NO_DEBUG)
    back = shown(ledger)
    assert ended(back) == {"debug": 3, "debugger": 0, "q": 0, "x": 1}
    assert used_in(back, "debug") == 27


def used_in(snapshot: ClusterSnapshot, queue: str) -> int:
    return sum(row.seconds for row in snapshot.core_seconds if row.queue == queue)


# -- groups ------------------------------------------------------------------------------------

GROUPS = Groups({"li": "chemistry"}, ((re.compile("ro.*"), "staff"),))


@pytest.mark.parametrize(
    ("rules", "groups"),
    [
        ({}, {"li": "chemistry", "root": "staff", "wang": "_none"}),
        ({"user_mode": "hash"}, {pseudonym("li"): "chemistry", pseudonym("root"): "staff",
                                 pseudonym("wang"): "_none"}),
        ({"user_mode": "off"}, {}),
        ({"user_limit": 1}, {"root": "staff", OTHER: OTHER}),
        ({"users": NO_ROOT.users}, {"li": "chemistry", "wang": "_none"}),
    ],
)  # fmt: skip
def test_everybody_who_is_shown_is_in_one_group(
    rules: dict[str, object], groups: dict[str, str]
) -> None:
    ledger = ledger_of(*(job(n, user="root") for n in range(3)), job(9, user="li"),
                       job(10, "finished", user="gone"), job(11, user="wang"))  # fmt: skip
    snapshot = shown(ledger, LabelRules(**rules, groups=lambda: GROUPS))  # type: ignore[arg-type]
    assert snapshot.user_groups == tuple(UserGroup(*each) for each in sorted(groups.items()))
    assert {count.user for count in snapshot.counts} - {""} == set(groups)


def test_somebody_without_a_job_is_in_a_group_while_something_of_theirs_is_shown() -> None:
    ledger = ledger_of(job(1, "finished", user="li"))
    with ledger.transaction():
        ledger.tally(CounterKey("cores", "q", "li"), 7)
    assert shown(ledger, LabelRules(groups=lambda: GROUPS)).user_groups == (
        UserGroup("li", "chemistry"),
    )


def test_without_a_file_there_are_none() -> None:
    assert shown(mixed()).user_groups == ()
