"""A ledger -> what is shown: folding, hashing, zeros, and sums that are always the ledger's."""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.labels import OTHER, Wanted
from exporter.ledger.counters import CounterKey
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import END_STATUSES, NO_IDENTITY, NO_STATUS, OUT_OF_WINDOW, Job
from exporter.profile import Profile, Trait
from exporter.publishing.naming import LabelRules, choose_shown, pseudonym
from exporter.publishing.publisher import Publisher
from exporter.publishing.rows import STATUS_LIMIT
from exporter.snapshot import (
    WAIT_BUCKETS_SECONDS,
    ClusterSnapshot,
    JobCount,
    LeftOut,
    QueueMoment,
    Tally,
)
from tests.unit.ledger.made import AT, job

HOUR = 3600


def ledger_with(*jobs: Job, complete: bool = True, active_known: bool = True) -> Ledger:
    ledger = open_ledger(None, "whose")
    with ledger.transaction():
        ledger.apply(jobs)
        ledger.progress = msgspec.structs.replace(
            ledger.progress,
            known=("all" if complete else "active") if active_known else "",
            expected=len(jobs),
            profile=Profile(zone=Trait("stamped", "all times carry their zone")),
        )
    return ledger


def shown(
    ledger: Ledger, rules: LabelRules | None = None, *, at: float = AT, history_wanted: bool = True
) -> ClusterSnapshot:
    publisher = Publisher(rules or LabelRules(), history_wanted=history_wanted)
    with ledger.transaction():
        snapshot = publisher.snapshot(ledger, at)
    assert snapshot is not None
    return snapshot


def counts(snapshot: ClusterSnapshot) -> dict[tuple[str, str, str], int]:
    assert len({count[:3] for count in snapshot.counts}) == len(snapshot.counts)
    return {(c.status, c.queue, c.user): c.jobs for c in snapshot.counts}


class TestChooseShown:
    def test_those_with_the_most_active_jobs_keep_their_names(self) -> None:
        active = {"a": 1, "b": 5, "c": 3}
        assert choose_shown(active, frozenset("abc"), frozenset(), 2) == {"b", "c"}

    def test_ties_go_by_name(self) -> None:
        assert choose_shown({}, frozenset("dcba"), frozenset(), 2) == {"a", "b"}

    def test_what_is_gone_makes_room(self) -> None:
        assert choose_shown({"c": 1}, frozenset("bc"), frozenset("ab"), 2) == {"b", "c"}

    def test_a_little_more_is_not_enough_to_take_over(self) -> None:
        before = frozenset("ab")
        assert choose_shown({"a": 3, "b": 4, "c": 16}, frozenset("abc"), before, 2) == {"a", "b"}

    def test_far_more_is(self) -> None:
        before = frozenset("ab")
        assert choose_shown({"a": 3, "b": 4, "c": 17}, frozenset("abc"), before, 2) == {"b", "c"}

    def test_a_smaller_limit_keeps_the_busiest(self) -> None:
        assert choose_shown({"b": 1}, frozenset("abc"), frozenset("abc"), 1) == {"b"}

    VALUES = st.sampled_from("abcdefgh")
    ACTIVE = st.dictionaries(VALUES, st.integers(0, 100))
    CHOICES = given(
        active=ACTIVE, present=st.frozensets(VALUES), before=st.frozensets(VALUES),
        limit=st.integers(1, 6),
    )  # fmt: skip

    @CHOICES
    def test_it_fills_the_limit_and_no_more(
        self, active: dict[str, int], present: frozenset[str], before: frozenset[str], limit: int
    ) -> None:
        found = choose_shown(active, present, before, limit)
        assert found <= present
        assert len(found) == min(limit, len(present))

    @CHOICES
    def test_nobody_folded_is_far_busier_than_somebody_shown(
        self, active: dict[str, int], present: frozenset[str], before: frozenset[str], limit: int
    ) -> None:
        found = choose_shown(active, present, before, limit)
        for value in present - found:
            for other in found:
                assert active.get(value, 0) <= 2 * active.get(other, 0) + 10

    @CHOICES
    def test_asked_again_nothing_changes(
        self, active: dict[str, int], present: frozenset[str], before: frozenset[str], limit: int
    ) -> None:
        found = choose_shown(active, present, before, limit)
        assert choose_shown(active, present, found, limit) == found

    @given(rounds=st.lists(ACTIVE, max_size=12), limit=st.integers(1, 6))
    def test_small_movements_change_nothing(self, rounds: list[dict[str, int]], limit: int) -> None:
        """Names must not come and go with every scrape."""
        present = frozenset("abcdefgh")
        before = choose_shown({}, present, frozenset(), limit)
        for active in rounds:
            calm = {value: number % 11 for value, number in active.items()}
            assert choose_shown(calm, present, before, limit) == before


class TestFolding:
    def test_users_beyond_the_limit_are_other(self) -> None:
        ledger = ledger_with(
            job(1, user="a"), job(2, user="a"), job(3, user="b", cores=4), job(4, user="c", cores=8)
        )
        snapshot = shown(ledger, LabelRules(user_limit=1))
        assert snapshot.folded_users == 2
        assert JobCount("pending", "q", "a", 2, 2) in snapshot.counts
        assert JobCount("pending", "q", OTHER, 2, 12) in snapshot.counts

    def test_queues_beyond_the_limit_are_other_everywhere(self) -> None:
        ledger = ledger_with(
            job(1, queue="a"),
            job(2, queue="a"),
            job(3, queue="b", submitted_at=AT - 7),
            job(4, queue="c", submitted_at=AT - 9),
        )
        with ledger.transaction():
            for queue in "abc":
                ledger.tally(CounterKey("submitted", queue, ""))
                ledger.tally(CounterKey("waits", queue, ""), seconds=31, bucket=1)
        shown(ledger, LabelRules(queue_limit=1))
        snapshot = shown(ledger, LabelRules(queue_limit=1))
        assert snapshot.folded_queues == 2
        assert [(m.queue, m.at) for m in snapshot.oldest_pending] == [(OTHER, AT - 9), ("a", AT)]
        assert {(tally.queue, tally.total) for tally in snapshot.submitted} == {
            (OTHER, 2),
            ("a", 1),
        }
        (other,) = [tally for tally in snapshot.waits if tally.queue == OTHER]
        assert other.bucket_counts == (0, 2, *([0] * 12))
        assert other.sum_seconds == 62.0

    def test_a_name_that_was_shown_is_shown_after_a_restart(self) -> None:
        ledger = ledger_with(job(1, user="a"), job(2, user="b"))
        rules = LabelRules(user_limit=1)
        assert ("pending", "q", "a") in counts(shown(ledger, rules))
        with ledger.transaction():
            ledger.apply([job(number, user="b") for number in range(3, 9)])
        copy = ledger.copied_to(None)
        assert counts(shown(copy, rules)) == {
            ("pending", "q", "a"): 1, ("pending", "q", OTHER): 7,
            ("running", "q", "a"): 0, ("running", "q", OTHER): 0,
        }  # fmt: skip

    def test_a_queue_with_counters_keeps_its_name_when_its_jobs_are_gone(self) -> None:
        ledger = ledger_with(job(1, queue="a"))
        with ledger.transaction():
            ledger.tally(CounterKey("submitted", "a", ""))
        rules = LabelRules(queue_limit=1)
        shown(ledger, rules)
        with ledger.transaction():
            ledger.suspect([job(1).uuid])
            ledger.forget_suspects(1e12)
            ledger.apply([job(2, queue="b")])
        snapshot = shown(ledger, rules)
        assert [tally for tally in snapshot.submitted if tally.total] == [Tally("a", "", 1)]
        assert counts(snapshot) == {("pending", OTHER, "u"): 1, ("running", OTHER, "u"): 0}

    def test_somebody_whose_name_is_other_is_added_to_it(self) -> None:
        ledger = ledger_with(job(1, user=OTHER), job(2, user="b"), job(3, user=OTHER))
        assert counts(shown(ledger, LabelRules(user_limit=1)))["pending", "q", OTHER] == 3

    def test_hash_hides_names_and_keeps_people_apart(self) -> None:
        ledger = ledger_with(job(1, user="alice"), job(2, user="bob"), job(3, user=""))
        snapshot = shown(ledger, LabelRules(user_mode="hash"))
        users = {count.user for count in snapshot.counts}
        assert users == {pseudonym("alice"), pseudonym("bob"), pseudonym("")}
        assert len(users) == 3
        assert "alice" not in repr(snapshot)
        assert all(len(user) == 12 for user in users)

    def test_hash_folds_too(self) -> None:
        ledger = ledger_with(job(1, user="alice"), job(2, user="bob"), job(3, user="alice"))
        snapshot = shown(ledger, LabelRules(user_mode="hash", user_limit=1))
        assert {count.user for count in snapshot.counts} == {pseudonym("alice"), OTHER}

    def test_off_adds_all_users(self) -> None:
        ledger = ledger_with(job(1, user="a"), job(2, user="b", cores=3))
        snapshot = shown(ledger, LabelRules(user_mode="off", user_limit=1))
        assert snapshot.counts == (
            JobCount("pending", "q", "", 2, 4),
            JobCount("running", "q", "", 0, 0),
        )
        assert snapshot.folded_users == 0

    @pytest.mark.parametrize(
        "name", ['q"uo\\te', "new\nline", "默认队列", "", " ", "\0", "{a='b'}"]
    )
    def test_names_are_passed_on_as_they_are(self, name: str) -> None:
        snapshot = shown(ledger_with(job(1, queue=name, user=name)))
        assert counts(snapshot)["pending", name, name] == 1


class TestZeros:
    def test_a_pair_with_an_active_job_has_pending_and_running(self) -> None:
        ledger = ledger_with(job(1), job(2, "running", queue="r"), job(3, "suspended", queue="s"))
        assert counts(shown(ledger)) == {
            ("pending", "q", "u"): 1, ("running", "q", "u"): 0,
            ("pending", "r", "u"): 0, ("running", "r", "u"): 1,
            ("pending", "s", "u"): 0, ("running", "s", "u"): 0, ("suspended", "s", "u"): 1,
        }  # fmt: skip

    def test_a_pair_with_ended_jobs_alone_has_none(self) -> None:
        assert counts(shown(ledger_with(job(1, "finished")))) == {("finished", "q", "u"): 1}

    @pytest.mark.parametrize(("after", "there"), [(0, True), (HOUR, True), (HOUR + 1, False)])
    def test_they_stay_for_an_hour(self, after: int, there: bool) -> None:
        ledger = ledger_with()
        with ledger.transaction():
            ledger.note_activity("q", "u", float(AT))
        found = counts(shown(ledger, at=AT + after))
        assert found == ({("pending", "q", "u"): 0, ("running", "q", "u"): 0} if there else {})

    def test_folded_pairs_have_theirs_together(self) -> None:
        ledger = ledger_with(*(job(number, user=str(number)) for number in range(5)))
        found = counts(shown(ledger, LabelRules(user_limit=2)))
        assert found == {
            ("pending", "q", "0"): 1, ("pending", "q", "1"): 1, ("pending", "q", OTHER): 3,
            ("running", "q", "0"): 0, ("running", "q", "1"): 0, ("running", "q", OTHER): 0,
        }  # fmt: skip

    def test_a_job_that_is_set_aside_is_in_no_status_and_keeps_its_pair_quiet(self) -> None:
        ledger = ledger_with(job(1, ""))
        assert counts(shown(ledger)) == {}


class TestHistory:
    def test_nothing_is_shown_before_the_active_jobs_are_known(self) -> None:
        ledger = ledger_with(job(1), active_known=False)
        assert Publisher(LabelRules()).snapshot(ledger, AT) is None

    @pytest.mark.parametrize(
        ("known", "wanted", "there"),
        [
            ("all", True, True), ("history", True, True), ("active", True, False),
            ("all", False, False), ("history", False, False), ("active", False, False),
        ],
    )  # fmt: skip
    def test_end_statuses_are_there_when_complete_and_wanted(
        self, known: str, wanted: bool, there: bool
    ) -> None:
        """Any other but pending and running, when all is known: some may stand where nobody has read."""
        ends = [job(number, status) for number, status in enumerate(sorted(END_STATUSES))]
        ledger = ledger_with(job(9), job(10, "stopped"), *ends)
        ledger.progress = msgspec.structs.replace(ledger.progress, known=known)
        snapshot = shown(ledger, history_wanted=wanted)
        statuses = {status for status, _, _ in counts(snapshot)}
        others = {"stopped"} if known == "all" else set()
        assert statuses == {"pending", "running"} | others | (END_STATUSES if there else set())
        assert snapshot.history_complete is (known != "active")
        assert snapshot.history_known == 5
        assert snapshot.history_expected == 5

    def test_it_says_when_the_numbers_were_true(self) -> None:
        assert shown(ledger_with(), at=AT + 0.5).taken_at == AT + 0.5


def counters(snapshot: ClusterSnapshot) -> dict[tuple[str, str, str], int]:
    """What every counter and every histogram counts, by kind, queue and status."""
    kinds = ("submitted", "started", "ended")
    found = {(kind, t.queue, t.status): t.total for kind in kinds for t in getattr(snapshot, kind)}
    for kind, tallies in (("wait", snapshot.waits), ("run", snapshot.runs)):
        found |= {(kind, t.queue, t.status): sum(t.bucket_counts) for t in tallies}
    return found


def end_a_job(ledger: Ledger, queue: str, status: str = "exited") -> None:
    with ledger.transaction():
        ledger.tally(CounterKey("submitted", queue, ""))
        ledger.tally(CounterKey("started", queue, ""))
        ledger.tally(CounterKey("waits", queue, ""), seconds=31, bucket=1)
        ledger.tally(CounterKey("ended", queue, status))
        ledger.tally(CounterKey("runs", queue, status), seconds=99, bucket=2)


class TestBirth:
    """A counter that nobody has seen at 0 is one whose first events nobody's rate ever has."""

    ALL = frozenset({
        ("submitted", ""), ("started", ""), ("wait", ""),
        ("ended", "finished"), ("ended", "exited"), ("ended", "cancelled"),
        ("run", "finished"), ("run", "exited"), ("run", "cancelled"),
    })  # fmt: skip

    @pytest.mark.parametrize("status", ["pending", "finished", "suspended"])
    def test_a_queue_with_a_job_has_all_of_them_at_0(self, status: str) -> None:
        found = counters(shown(ledger_with(job(1, status))))
        assert found == {(kind, "q", status): 0 for kind, status in self.ALL}

    def test_a_queue_that_is_first_seen_with_its_events_is_at_0_once_and_loses_none(self) -> None:
        ledger = ledger_with(job(1, queue="old"))
        publisher = Publisher(LabelRules())
        with ledger.transaction():
            publisher.snapshot(ledger, AT)
            ledger.apply([job(2, "exited", queue="new")])
        end_a_job(ledger, "new")
        end_a_job(ledger, "old")
        for new, old in ((0, 5), (5, 5), (5, 5)):
            with ledger.transaction():
                snapshot = publisher.snapshot(ledger, AT)
            assert snapshot is not None
            found = counters(snapshot)
            assert sum(n for (_, queue, _), n in found.items() if queue == "new") == new
            assert sum(n for (_, queue, _), n in found.items() if queue == "old") == old
            assert len(found) == 2 * len(self.ALL)

    def test_at_the_first_sync_of_all_too(self) -> None:
        ledger = ledger_with(job(1, "exited"))
        end_a_job(ledger, "q")
        assert set(counters(shown(ledger)).values()) == {0}
        assert sum(counters(shown(ledger)).values()) == 5

    def test_a_restart_neither_shows_0_again_nor_forgets_to(self) -> None:
        ledger = ledger_with(job(1))
        shown(ledger)
        end_a_job(ledger, "q")
        end_a_job(ledger, "new")  # counted, and killed before it was shown
        copy = ledger.copied_to(None)
        found = counters(shown(copy))
        assert (found["ended", "q", "exited"], found["ended", "new", "exited"]) == (1, 0)
        found = counters(shown(copy.copied_to(None)))
        assert (found["ended", "q", "exited"], found["ended", "new", "exited"]) == (1, 1)

    def test_a_sync_that_is_undone_has_shown_nothing(self) -> None:
        ledger, publisher = ledger_with(), Publisher(LabelRules())
        ledger.begin()
        ledger.apply([job(1)])
        ledger.tally(CounterKey("submitted", "q", ""))
        publisher.snapshot(ledger, AT)
        ledger.rollback()
        for total in (0, 1):
            with ledger.transaction():
                if not total:
                    ledger.apply([job(1)])
                    ledger.tally(CounterKey("submitted", "q", ""))
                snapshot = publisher.snapshot(ledger, AT)
            assert snapshot is not None
            assert snapshot.submitted == (Tally("q", "", total),)

    def test_a_queue_whose_jobs_are_gone_keeps_them(self) -> None:
        ledger = ledger_with(job(1))
        shown(ledger)
        with ledger.transaction():
            ledger.clear()
        assert len(counters(shown(ledger))) == len(self.ALL)

    def test_those_that_are_folded_begin_at_0_together(self) -> None:
        ledger = ledger_with(job(1, queue="a"), job(2, queue="a"))
        rules = LabelRules(queue_limit=1)
        shown(ledger, rules)
        with ledger.transaction():
            ledger.apply([job(3, queue="b")])
        end_a_job(ledger, "b")
        assert counters(shown(ledger, rules))["ended", OTHER, "exited"] == 0
        end_a_job(ledger, "c")
        for _ in range(2):  # who reads it has seen it at 0
            assert counters(shown(ledger, rules))["ended", OTHER, "exited"] == 2


class TestFoldedCounters:
    """No counter falls, and ``_other`` does not jump, whichever queues get, lose and find their name: for
    Prometheus, a counter that falls has begun anew at 0."""

    ONE = LabelRules(queue_limit=1)

    def folded(self) -> Ledger:
        """Of three queues, ``a`` has a name; each has an event."""
        ledger = ledger_with(*(job(number, queue=queue) for number, queue in enumerate("aabc")))
        shown(ledger, self.ONE)
        for queue in "abc":
            end_a_job(ledger, queue)
        assert submitted(shown(ledger, self.ONE)) == {"a": 1, OTHER: 2}
        return ledger

    def test_a_queue_that_gets_its_name_back_begins_at_0_and_leaves_what_it_has_added(self) -> None:
        ledger = self.folded()
        end_a_job(ledger, "b")
        assert submitted(shown(ledger)) == {"a": 1, "b": 0, "c": 0, OTHER: 2}
        for _ in range(2):
            assert submitted(shown(ledger.copied_to(None))) == {"a": 1, "b": 1, "c": 0, OTHER: 2}

    def test_a_queue_that_loses_its_name_takes_nothing_along_and_finds_it_again(self) -> None:
        ledger = self.folded()
        with ledger.transaction():  # now b is far busier
            ledger.apply([job(number, queue="b") for number in range(10, 40)])
        assert submitted(shown(ledger, self.ONE)) == {"b": 0, OTHER: 2}
        for queue in "abc":
            end_a_job(ledger, queue)
        assert submitted(shown(ledger, self.ONE)) == {"b": 1, OTHER: 4}
        assert submitted(shown(ledger)) == {"a": 1, "b": 1, "c": 0, OTHER: 4}

    def test_a_folded_queue_that_is_left_out_leaves_what_it_has_added(self) -> None:
        ledger = self.folded()
        without_b = LabelRules(queue_limit=1, queues=Wanted(exclude=(re.compile("b"),)))
        assert submitted(shown(ledger, without_b)) == {"a": 1, OTHER: 2}
        for queue in "abc":
            end_a_job(ledger, queue)
        assert submitted(shown(ledger, without_b)) == {"a": 2, OTHER: 3}
        assert submitted(shown(ledger, self.ONE)) == {"a": 2, OTHER: 3}
        for queue in "abc":
            end_a_job(ledger, queue)
        assert submitted(shown(ledger, self.ONE)) == {"a": 3, OTHER: 5}
        for _ in range(2):
            everything = submitted(shown(ledger))
        assert everything == {"a": 3, "b": 1, "c": 0, OTHER: 5}

    def test_what_happened_before_a_queue_was_wanted_is_not_added_to_the_others(self) -> None:
        without_b = LabelRules(queue_limit=1, queues=Wanted(exclude=(re.compile("b"),)))
        ledger = ledger_with(*(job(number, queue=queue) for number, queue in enumerate("aab")))
        for _ in range(2):
            shown(ledger, without_b)
            end_a_job(ledger, "b")
        assert submitted(shown(ledger, without_b)) == {"a": 0}
        assert submitted(shown(ledger, self.ONE)) == {"a": 0, OTHER: 0}
        end_a_job(ledger, "b")
        assert submitted(shown(ledger, self.ONE)) == {"a": 0, OTHER: 1}

    @pytest.mark.parametrize("seed", range(3))
    def test_no_counter_falls_and_none_is_lost(self, seed: int) -> None:
        """Patterns, limits and names that come and go, restarts."""
        dice, ledger = Random(seed), ledger_with()
        highest: dict[tuple[str, str, str], int] = {}
        events = 0
        for _ in range(80):
            left_out = Wanted(exclude=(re.compile(f"[{dice.choice(('a-c', 'b-e', 'z'))}]"),))
            with ledger.transaction():
                ledger.clear()
                ledger.apply(
                    [job(n, queue=dice.choice("abcdef")) for n in range(dice.randrange(30))]
                )
            end_a_job(ledger, dice.choice("abcdefg"))
            events += 1
            rules = LabelRules(queue_limit=dice.randrange(1, 6), queues=left_out)
            for key, count in counters(shown(ledger, rules)).items():
                assert count >= highest.get(key, 0), key
                highest[key] = count
            ledger = ledger.copied_to(None) if dice.random() < 0.2 else ledger
        for _ in range(2):
            everything = counters(shown(ledger))
        for kind, status in {
            (kind, status) for kind, _, status in highest if highest[kind, _, status]
        }:
            assert events == sum(
                count for (k, _, s), count in everything.items() if (k, s) == (kind, status)
            )


def submitted(snapshot: ClusterSnapshot) -> dict[str, int]:
    return {tally.queue: tally.total for tally in snapshot.submitted}


def test_records_that_cannot_be_counted_are_counted_as_such() -> None:
    odd = [job(number, NO_STATUS, queue=str(number)) for number in (1, 2)]
    aside = [job(3, ""), job(4, OUT_OF_WINDOW), job(5, NO_IDENTITY)]
    snapshot = shown(ledger_with(*odd, *aside))
    assert snapshot.counts == ()
    assert snapshot.left_out == (LeftOut("identity", 1), LeftOut("status", 2))
    assert shown(ledger_with()).left_out == (LeftOut("identity", 0), LeftOut("status", 0))


def test_no_moment_of_a_job_is_shown_while_the_zone_of_times_is_unknown() -> None:
    """Moments that are hours off would be worse than none."""
    ledger = ledger_with(job(1), job(2, "running", started_at=AT - 5))
    moments = [
        field.name for field in fields(ClusterSnapshot) if field.type == tuple[QueueMoment, ...]
    ]
    assert "oldest_pending" in moments
    for name in moments:
        assert getattr(shown(ledger), name), name
    with ledger.transaction():
        ledger.progress = msgspec.structs.replace(ledger.progress, profile=Profile())
    for name in moments:
        assert getattr(shown(ledger), name) == (), name


TEXTS = st.sampled_from(("", "a", "b", "默认队列", OTHER, 'x"\\\n'))
LEDGERS = st.lists(
    st.builds(
        job,
        number=st.integers(0, 40),
        status=st.sampled_from(("pending", "running", "finished", "exited", "suspended")),
        queue=TEXTS,
        user=TEXTS,
        cores=st.integers(0, 9),
        submitted_at=st.integers(AT - 9, AT),
    ),
    max_size=30,
)
TALLIES = st.lists(
    st.tuples(
        st.sampled_from(("submitted", "started", "ended", "waits", "runs")),
        TEXTS,
        st.integers(0, len(WAIT_BUCKETS_SECONDS)),
    ),
    max_size=20,
)


@settings(max_examples=150)
@given(
    rounds=st.lists(LEDGERS, min_size=1, max_size=3),
    tallies=TALLIES,
    mode=st.sampled_from(("name", "hash", "off")),
    limits=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_whatever_is_folded_the_sums_are_the_ledgers(
    rounds: list[list[Job]],
    tallies: list[tuple[str, str, int]],
    mode: str,
    limits: tuple[int, int],
) -> None:
    ledger = ledger_with()
    rules = LabelRules(mode, *limits)  # type: ignore[arg-type]
    with ledger.transaction():  # so that every queue has been shown
        ledger.apply([job(number, queue=queue) for number, (_, queue, _) in enumerate(tallies)])
    shown(ledger, rules)
    with ledger.transaction():
        ledger.clear()
    with ledger.transaction():
        for kind, queue, bucket in tallies:
            status = "finished" if kind in ("ended", "runs") else ""
            timed = kind in ("waits", "runs")
            ledger.tally(
                CounterKey(kind, queue, status),
                seconds=15 if timed else 0,
                bucket=bucket if timed else None,
            )
    for jobs in rounds:
        with ledger.transaction():
            ledger.apply(jobs)
        snapshot = shown(ledger, rules)
        _assert_sums(ledger, snapshot)
        assert len({count.user for count in snapshot.counts} - {OTHER}) <= max(1, limits[0])
        assert len({count.queue for count in snapshot.counts} - {OTHER}) <= limits[1]
        by_kind = Counter(kind for kind, _, _ in tallies)
        assert sum(tally.total for tally in snapshot.submitted) == by_kind["submitted"]
        assert sum(tally.total for tally in snapshot.started) == by_kind["started"]
        assert sum(tally.total for tally in snapshot.ended) == by_kind["ended"]
        for durations, kind in ((snapshot.waits, "waits"), (snapshot.runs, "runs")):
            assert sum(sum(tally.bucket_counts) for tally in durations) == by_kind[kind]
            assert sum(tally.sum_seconds for tally in durations) == 15 * by_kind[kind]
            assert all(len(tally.bucket_counts) == 14 for tally in durations)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("apply", "undone", "fails")), LEDGERS),
        st.tuples(st.just("gone"), st.integers(0, 40)),
        st.tuples(st.just("waits"), st.sampled_from((60, 2 * HOUR))),
        st.tuples(st.just("complete"), st.booleans()),
        st.tuples(st.just("moves"), st.none()),
    ),
    max_size=8,
)


def use(ledger: Ledger, jobs: list[Job]) -> None:
    """Jobs change, and have held their cores for a second."""
    ledger.apply(jobs)
    for each in jobs:
        ledger.tally(CounterKey("cores", each.queue, each.user), each.cores)


UNDONE = [
    ("apply", [job(0, "pending", queue="b"), job(1, "pending", queue="")]),
    ("undone", [job(0, "pending", queue="a")]),
]
"""Once a queue that only the undone sync knew was counted among the others for good."""


@settings(max_examples=100, deadline=None)
@example(steps=UNDONE, mode="name", limits=(1, 2))
@given(
    steps=STEPS,
    mode=st.sampled_from(("name", "hash", "off")),
    limits=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_whatever_has_changed_it_is_what_is_made_from_nothing(
    steps: list[tuple[str, Any]], mode: str, limits: tuple[int, int]
) -> None:
    ledger, at = ledger_with(), float(AT)
    rules = LabelRules(mode, *limits)  # type: ignore[arg-type]
    publisher = Publisher(rules)
    for step, what in steps:
        if step == "waits":
            at += what
        elif step == "moves":
            ledger = ledger.copied_to(None)
        with suppress(RuntimeError), ledger.transaction():
            if step == "complete":
                known = "all" if what else "active"
                ledger.progress = msgspec.structs.replace(ledger.progress, known=known)
            elif step == "gone":
                ledger.suspect([job(what).uuid])
            elif step in ("apply", "undone", "fails"):
                use(ledger, what)
            for queue, user in ledger.groups.take_idle_pairs():
                ledger.note_activity(queue, user, at)
            if step == "fails":
                with patch.object(ledger, "remember_shown", side_effect=RuntimeError):
                    publisher.snapshot(ledger, at)
            if step == "undone":
                publisher.snapshot(ledger, at)
                raise RuntimeError
        afresh = shown(ledger.copied_to(None), rules, at=at)
        with ledger.transaction():
            assert publisher.snapshot(ledger, at) == afresh


def test_zeros_go_from_one_snapshot_to_the_next() -> None:
    ledger = ledger_with(job(1, queue="q", user="a"), job(2, queue="r", user="a"))
    publisher = Publisher(LabelRules())
    with ledger.transaction():
        assert publisher.snapshot(ledger, AT)
        ledger.suspect([job(1).uuid])
        ledger.note_activity("q", "a", AT)
    queues = []
    for at in (AT, AT + HOUR, AT + HOUR + 1):
        with ledger.transaction():
            snapshot = publisher.snapshot(ledger, at)
        assert snapshot is not None
        queues.append({count.queue for count in snapshot.counts})
    assert queues == [{"q", "r"}, {"q", "r"}, {"r"}]


def _assert_sums(ledger: Ledger, snapshot: ClusterSnapshot) -> None:
    key: Callable[[JobCount], tuple[str, str, str]] = lambda c: (c.status, c.queue, c.user)  # noqa: E731
    assert [key(count) for count in snapshot.counts] == sorted({key(c) for c in snapshot.counts})
    for part in ("jobs", "cores"):
        shown_sums: Counter[str] = Counter()
        for count in snapshot.counts:
            shown_sums[count.status] += getattr(count, part)
        true_sums: Counter[str] = Counter()
        for (status, _, _), totals in ledger.totals().items():
            true_sums[status] += getattr(totals, part)
        assert +shown_sums == +true_sums
    oldest = ledger.oldest_pending()
    assert bool(oldest) == bool(snapshot.oldest_pending)
    if oldest:
        assert min(oldest.values()) == min(moment.at for moment in snapshot.oldest_pending)


def test_a_server_that_invents_statuses_makes_no_series_without_end() -> None:
    """Those beyond the limit are added up, the documented ones never are, and no job is lost."""
    ledger, publisher = ledger_with(), Publisher(LabelRules())
    documented = {"pending", "running", *END_STATUSES}
    names: list[set[str]] = []
    for turn in range(4):
        invented = [job(1000 * turn + n, f"word-{turn}-{n}") for n in range(STATUS_LIMIT)]
        listed = [job(-n, status) for n, status in enumerate(sorted(documented), 1)]
        with ledger.transaction():
            ledger.apply([*invented, *(listed if turn == 1 else ())])
            snapshot = publisher.snapshot(ledger, AT)
        assert snapshot is not None
        assert sum(row.jobs for row in snapshot.counts) == ledger.size
        names.append({row.status for row in snapshot.counts if row.jobs})
        if turn == 2:
            ledger.last_reading = object()  # so that all is counted anew
    assert names[0] < names[1] == names[2] == names[3]
    assert len(names[3] - documented - {OTHER}) == STATUS_LIMIT
    assert names[3] > documented
