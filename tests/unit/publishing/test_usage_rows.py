"""What users have used, as it is shown: sums that neither jump nor fall, whoever has a name."""

import re
from random import Random

import pytest

from exporter.labels import OTHER, Wanted
from exporter.ledger.counters import CounterKey
from exporter.publishing.naming import LabelRules, pseudonym
from exporter.publishing.publisher import Publisher
from exporter.snapshot import RECENT_SECONDS, ClusterSnapshot, Usage
from tests.unit.ledger.made import AT, job
from tests.unit.publishing.shown import ledger_of, shown, use


def used(snapshot: ClusterSnapshot) -> dict[str, int]:
    assert list(snapshot.core_seconds) == sorted(snapshot.core_seconds)
    return {row.user: row.seconds for row in snapshot.core_seconds}


def test_somebody_with_an_active_job_is_at_0_before_it_ends() -> None:
    ledger = ledger_of(job(1, user="a"))
    snapshot = shown(ledger)
    assert snapshot.core_seconds == snapshot.user_waits == (Usage("q", "a", 0, 0),)
    use(ledger, "a", 7)
    assert shown(ledger).core_seconds == (Usage("q", "a", 1, 7),)


def test_somebody_who_is_first_seen_at_the_end_is_at_0_once_and_loses_nothing() -> None:
    ledger = ledger_of(job(1, "finished", user="a"))
    use(ledger, "a", 7)
    assert [used(shown(ledger)) for _ in range(3)] == [{"a": 0}, {"a": 7}, {"a": 7}]


def test_a_restart_neither_shows_0_again_nor_forgets_what_was_not_shown_yet() -> None:
    ledger = ledger_of(job(1, user="a"))
    shown(ledger)
    use(ledger, "a", 7)
    use(ledger, "b", 8)
    with ledger.transaction():
        ledger.apply([job(2, "finished", user="b")])
    copy = ledger.copied_to(None)
    assert used(shown(copy)) == {"a": 7, "b": 0}
    assert used(shown(copy.copied_to(None))) == {"a": 7, "b": 8}


def test_a_sync_that_is_undone_has_used_nothing() -> None:
    ledger = ledger_of(job(1, user="a"))
    shown(ledger)
    ledger.begin()
    ledger.tally(CounterKey("cores", "q", "a"), 7)
    Publisher(LabelRules()).snapshot(ledger, AT)
    ledger.rollback()
    assert used(shown(ledger)) == {"a": 0}


def test_who_is_folded_takes_nothing_along_and_finds_it_again() -> None:
    """``increase`` over ``_other`` must not show what somebody used under the own name."""
    rules = LabelRules(user_limit=1)
    ledger = ledger_of(job(1, user="a"), job(2, user="a"), job(3, user="b"))
    shown(ledger, rules)
    use(ledger, "a", 1000)
    use(ledger, "b", 10)
    assert used(shown(ledger, rules)) == {"a": 1000, OTHER: 10}
    with ledger.transaction():  # now b is far busier
        ledger.apply([job(number, user="b") for number in range(10, 40)])
    assert used(shown(ledger, rules)) == {"b": 0, OTHER: 10}
    use(ledger, "a", 2000)
    use(ledger, "b", 20)
    assert used(shown(ledger, rules)) == {"b": 20, OTHER: 2010}
    assert used(shown(ledger, LabelRules(user_limit=2))) == {"a": 1000, "b": 20, OTHER: 2010}


def test_who_has_no_job_left_in_the_list_is_not_taken_for_one_of_the_others() -> None:
    """As after a long rest of the exporter: what ended meanwhile is older than the history wanted."""
    ledger = ledger_of(job(1, user="a"), job(2, user="b"))
    shown(ledger)
    use(ledger, "a", 7)
    with ledger.transaction():
        ledger.clear()
        ledger.apply([job(2, user="b")])
    assert [used(shown(ledger)) for _ in range(2)] == [{"a": 7, "b": 0}] * 2
    later_at = AT + RECENT_SECONDS + 1  # so long it can be scraped
    assert used(shown(ledger, at=later_at)) == {"b": 0}
    use(ledger, "a", 5)
    assert used(shown(ledger)) == {"a": 12, "b": 0}
    use(ledger, "new", 3)
    later = [used(shown(ledger, at=later_at)) for _ in range(3)]
    assert later == [{"b": 0, "new": 0}, *[{"b": 0, "new": 3}] * 2]


def test_what_is_owed_to_somebody_who_is_left_out_is_not_looked_at_by_each_snapshot() -> None:
    ledger = ledger_of(job(1, user="a"), job(2, user="b"))
    asked: list[str] = []

    def named(key: CounterKey) -> CounterKey | None:
        asked.append(key.of)
        return key if key.of == "b" else None

    def asked_for() -> list[str]:
        with ledger.transaction():
            ledger.counters.credit((), named, lambda series: True)
        told = sorted(asked)
        asked.clear()
        return told

    use(ledger, "a", 1)
    use(ledger, "b", 1)
    assert [asked_for() for _ in range(3)] == [["a", "b"], ["b"], []]  # b is shown at 0 first
    use(ledger, "a", 1)
    assert [asked_for() for _ in range(2)] == [["a"], []]
    ledger.counters.reconsider()
    assert [asked_for() for _ in range(2)] == [["a"], []]
    assert used(shown(ledger)) == {"a": 0, "b": 1}
    assert used(shown(ledger)) == {"a": 2, "b": 1}


def test_what_somebody_used_while_left_out_is_not_added_to_the_others() -> None:
    """They would jump by all of it at once."""
    rules = LabelRules(user_limit=1)
    without_b = LabelRules(user_limit=1, users=Wanted(exclude=(re.compile("b"),)))
    ledger = ledger_of(job(1, user="a"), job(2, user="a"), job(3, user="b"))
    shown(ledger, rules)
    for each in (rules, without_b, without_b, rules):
        use(ledger, "b", 10)
        shown(ledger, each)
    assert [used(shown(ledger, rules)) for _ in range(2)] == [{"a": 0, OTHER: 20}] * 2
    assert used(shown(ledger)) == {"a": 0, "b": 20, OTHER: 20}


def test_who_is_left_out_of_the_sum_of_all_stays_in_it_with_what_was_there() -> None:
    """A sum that falls is taken for a restart, and counted a second time as a whole."""
    all_users = LabelRules(user_mode="off")
    without_a = LabelRules(user_mode="off", users=Wanted(exclude=(re.compile("a"),)))
    ledger = ledger_of(job(1, user="a"), job(2, user="b"))
    shown(ledger, all_users)
    use(ledger, "a", 100)
    use(ledger, "b", 10)
    assert used(shown(ledger, all_users)) == {"": 110}
    assert used(shown(ledger, without_a)) == {"": 110}
    use(ledger, "a", 1000)
    use(ledger, "b", 1)
    assert used(shown(ledger.copied_to(None), without_a)) == {"": 111}
    assert used(shown(ledger, all_users)) == {"": 1111}


@pytest.mark.parametrize("mode", ["name", "hash", "off"])
@pytest.mark.parametrize("seed", range(2))
def test_no_sum_falls_whoever_is_left_out(seed: int, mode: str) -> None:
    """Patterns, limits and names that come and go."""
    dice = Random(seed)
    ledger = ledger_of()
    highest: dict[tuple[str, str], int] = {}
    for _ in range(60):
        left_out = Wanted(exclude=(re.compile(f"[{dice.choice(('a-c', 'b-e', 'z'))}]"),))
        rules = LabelRules(mode, dice.randrange(1, 6), 3, users=left_out)  # type: ignore[arg-type]
        with ledger.transaction():
            ledger.clear()
            ledger.apply([job(n, user=dice.choice("abcdefg")) for n in range(dice.randrange(20))])
        use(ledger, dice.choice("abcdefgh"), dice.randrange(100))
        for row in shown(ledger, rules).core_seconds:
            assert row.seconds >= highest.get((row.queue, row.user), 0)
            highest[row.queue, row.user] = row.seconds


@pytest.mark.parametrize(
    ("mode", "users"), [("hash", {pseudonym("a"): 3, pseudonym("b"): 4}), ("off", {"": 7})]
)
def test_pseudonyms_and_no_names(mode: str, users: dict[str, int]) -> None:
    ledger = ledger_of(job(1, user="a"), job(2, user="b"))
    shown(ledger)
    use(ledger, "a", 3)
    use(ledger, "b", 4)
    assert used(shown(ledger, LabelRules(user_mode=mode))) == users  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_ever_lost_doubled_or_moved(seed: int) -> None:
    """Limits that change, names that come and go, kills."""
    dice = Random(seed)
    ledger = ledger_of()
    total = 0
    highest: dict[tuple[str, str], int] = {}
    for _ in range(80):
        rules = LabelRules(user_limit=dice.randrange(1, 6), queue_limit=dice.randrange(1, 4))
        with ledger.transaction():
            ledger.clear()
            ledger.apply([job(n, user=dice.choice("abcdefg"), queue=dice.choice("xyz"))
                          for n in range(dice.randrange(40))])  # fmt: skip
        user, queue, seconds = dice.choice("abcdefgh"), dice.choice("xyz"), dice.randrange(100)
        use(ledger, user, seconds, queue)
        total += seconds
        for row in shown(ledger, rules).core_seconds:
            assert row.seconds >= highest.get((row.queue, row.user), 0)
            highest[row.queue, row.user] = row.seconds
        ledger = ledger.copied_to(None) if dice.random() < 0.2 else ledger
    shown(ledger)
    shown(ledger)
    assert not ledger.counters["owed"]
    assert sum(amount.seconds for amount in ledger.counters.shown.values()) == total
