"""Ledgers of every format that was ever handed out are read on: half a day of calls hangs on it."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import LedgerUnreadable, LedgerUnwritable
from exporter.labels import OTHER
from exporter.ledger import schema
from exporter.ledger.counters import ACCOUNTS, USER_KINDS, Account, Amount, CounterKey
from exporter.ledger.former import COUNTED, accounts_of
from exporter.ledger.published import read_published
from exporter.ledger.records import Progress
from exporter.ledger.store import open_ledger, read_ledger
from exporter.model import OUT_OF_WINDOW
from tests.unit.ledger.made import happened, run_of, tallied

STORED = Path(__file__).parents[2] / "testdata" / "ledgers"
"""Written by the daemon of that time, by following a cluster of the simulator for a while."""
WHOSE = "http://127.0.0.1:18401 jinan1a ehpc-qmmvigwe"

FORMATS = sorted(path.stem for path in STORED.glob("*.ledger"))
OLD = [name for name in FORMATS if name != f"format-{schema.SCHEMA_VERSION}"]


@pytest.fixture
def stored(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return Path(shutil.copy(STORED / f"{request.param}.ledger", tmp_path))


def asked(path: Path, question: str) -> list[tuple[Any, ...]]:
    """By SQLite alone."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


JOBS = (
    "SELECT uuid, statuses.text, queues.text, users.text, cores, submitted_at, started_at,"
    " modified_at FROM jobs JOIN statuses ON statuses.id = status JOIN queues ON queues.id = queue"
    " JOIN users ON users.id = user ORDER BY jobs.rowid"
)
ALL = (
    JOBS,
    "SELECT queue, user, last_active_at FROM activity",
    "SELECT label, value FROM shown WHERE label <> 'counted'",
    "SELECT uuid FROM gone",
    "SELECT key, value FROM about WHERE key IN ('identity', 'progress')",
)
TALLIES = "SELECT kind, queue, status, count, sum_seconds, buckets FROM tallies"
USAGE = "SELECT shown, kind, queue, user, count, seconds FROM usage"
COUNTERS = (
    "SELECT account, kind, queue, of, times, seconds, buckets FROM counters ORDER BY 1, 2, 3, 4"
)
HAVE_USAGE = [name for name in OLD if not name.startswith(("format-2", "format-3"))]
NOW_CALLED = {
    "submitted": "submitted", "started": "started", "ended": "ended", "wait": "waits", "run": "runs"
}  # fmt: skip


def former(stored: Path, part: str = "") -> dict[tuple[str, ...], Amount]:
    """The counters of queues as a former ledger kept them, whole or a part of them, under their present kinds."""
    return {
        (NOW_CALLED[kind.removeprefix(part)], queue, status): Amount(
            count, int(seconds), tuple(json.loads(buckets))
        )
        for kind, queue, status, count, seconds, buckets in asked(stored, TALLIES)
        if kind.removeprefix(part) in NOW_CALLED and kind.startswith(part)
    }


def test_there_is_one_of_each_format() -> None:
    assert f"format-{schema.SCHEMA_VERSION}" in FORMATS, "store one before the next format"
    assert {f"format-{version}" for version in schema.FORMER_VERSIONS} < set(FORMATS)


@pytest.mark.parametrize("stored", FORMATS, indirect=True)
def test_it_knows_all_that_it_knew(stored: Path) -> None:
    before = [asked(stored, question) for question in ALL]
    jobs, activity, shown, _, _ = before
    assert len(jobs) > 300
    for _ in range(2):
        ledger = open_ledger(stored, WHOSE)
        assert ledger.size == len(jobs)
        assert len(ledger.known(row[0] for row in jobs)) == len(jobs)
        assert sum(each.jobs for each in ledger.totals().values()) == len(jobs)
        assert sum(each.cores for each in ledger.totals().values()) == sum(row[4] for row in jobs)
        assert ledger.activity() == {row[:2]: row[2] for row in activity}
        assert ledger.shown("queue") == {value for label, value in shown if label == "queue"}
        assert ledger.progress.complete
        ledger.close()
        assert [asked(stored, question) for question in ALL] == before
    assert asked(stored, "PRAGMA user_version") == [(schema.SCHEMA_VERSION,)]
    assert asked(stored, "PRAGMA integrity_check") == [("ok",)]
    assert {column for _, column in asked(stored, "SELECT name, strict FROM pragma_table_list"
                                           " WHERE name IN ('jobs', 'counters', 'about')")} == {1}  # fmt: skip


@pytest.mark.parametrize("stored", OLD, indirect=True)
def test_it_has_counted_what_it_had_counted(stored: Path) -> None:
    wholes, own, other = former(stored), former(stored, "own "), former(stored, "other ")
    assert len(wholes) > 10
    counted = {
        queue for (queue,) in asked(stored, "SELECT value FROM shown WHERE label = 'counted'")
    }
    named = {queue for (queue,) in asked(stored, "SELECT value FROM shown WHERE label = 'queue'")}
    for key, amount in wholes.items():  # once they had been shown, but only in one way
        if key not in own and key not in other and (key[1] in counted or not counted):
            (own if key[1] in named else other)[key] = amount
    ledger = open_ledger(stored, WHOSE)
    assert tallied(ledger) == wholes
    added: dict[tuple[str, ...], Amount] = {}
    for (kind, queue, status), amount in other.items():
        found = ledger.counters["elsewhere"].get(CounterKey(kind, queue, status), Amount())
        assert found.minus(amount) == amount.minus(amount)
        into = (kind, OTHER, status)
        added[into] = added.get(into, Amount()).plus(amount)
    shown = {
        key: amount for key, amount in ledger.counters.shown.items() if key[0] not in USER_KINDS
    }
    assert shown == {**own, **added}
    ledger.close()
    assert not asked(stored, "SELECT * FROM shown WHERE label = 'counted'")


@pytest.mark.parametrize("stored", HAVE_USAGE, indirect=True)
def test_it_knows_what_users_have_used(stored: Path) -> None:
    before = asked(stored, USAGE)
    ledger = open_ledger(stored, WHOSE)
    known = {
        (number, *key, amount.times, amount.seconds)
        for number, account in enumerate(ACCOUNTS)
        for key, amount in ledger.counters[account].items()
        if key.kind in USER_KINDS
    }
    assert known == set(before)
    assert any(row[0] == 1 for row in before)
    ledger.close()


@pytest.mark.parametrize("stored", FORMATS, indirect=True)
def test_it_knows_its_counters_again(stored: Path) -> None:
    open_ledger(stored, WHOSE).close()
    before = asked(stored, COUNTERS)
    ledger = open_ledger(stored, WHOSE)
    accounts: tuple[Account, ...] = ("owed", "shown", "elsewhere", "debts")
    for number, account in enumerate(accounts):  # their numbers in the file
        known = {(*key, *amount) for key, amount in ledger.counters[account].items()}
        assert known == {
            (*row[1:6], tuple(json.loads(row[6]))) for row in before if row[0] == number
        }
    assert ledger.counters.shown
    ledger.close()
    assert asked(stored, COUNTERS) == before


@pytest.mark.parametrize("stored", ["format-5-folded"], indirect=True)
def test_what_was_published_of_a_former_one_after_it_was_written_is_never_lower(
    stored: Path,
) -> None:
    """A power cut, and a new version at once. Queues and users have got, lost and found names meanwhile."""
    beside = f"{stored.name}.published"
    shutil.copy(STORED / beside, stored.with_name(beside))
    published = read_published(stored)
    before = read_ledger(stored, WHOSE)
    known = happened(before)
    before.close()
    ledger = open_ledger(stored, WHOSE, published)
    assert ledger.counters.behind
    assert COUNTED not in published.names
    assert all(ledger.shown(label) == values for label, values in published.names.items())
    assert len(published.counters["shown"]) > 100
    assert published.counters["shown"].items() <= ledger.counters.shown.items()
    debts = ledger.counters["debts"]
    assert all(amount.times >= 0 and OTHER not in key[:2] for key, amount in debts.items())
    for key, amount in happened(ledger).items():
        if key.of != OTHER:  # nothing tells what of the former ``_other`` this user's own was
            assert amount == known.get(key, Amount()).plus(debts.get(key, Amount())), key
    ledger.close()


@pytest.mark.parametrize("stored", FORMATS, indirect=True)
def test_it_goes_on(stored: Path) -> None:
    ledger = open_ledger(stored, WHOSE)
    size = ledger.size
    with ledger.transaction():
        ledger.apply(run_of(50, first=10**7))
        ledger.hide_before(float("inf"))
    assert ledger.count_status(OUT_OF_WINDOW) > 50
    ledger.close()
    again = open_ledger(stored, WHOSE)
    assert again.size == size + 50
    again.close()


@pytest.mark.parametrize("stored", OLD, indirect=True)
def test_it_is_as_it_was_if_it_cannot_be_brought_to_this_format(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [asked(stored, question) for question in ALL]
    version = asked(stored, "PRAGMA user_version")

    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("exporter.ledger.schema._know_hidden", full)
        with pytest.raises(LedgerUnwritable):
            open_ledger(stored, WHOSE)
    assert [asked(stored, question) for question in ALL] == before
    assert asked(stored, "PRAGMA user_version") == version
    open_ledger(stored, WHOSE).close()


@pytest.mark.parametrize("stored", OLD, indirect=True)
def test_it_is_read_also_from_a_disk_that_cannot_be_written(stored: Path) -> None:
    ledger = read_ledger(stored, WHOSE)
    assert ledger.in_memory
    assert ledger.size == asked(stored, "SELECT COUNT(*) FROM jobs")[0][0]
    ledger.close()


@pytest.mark.parametrize("stored", ["format-2-first", "format-2"], indirect=True)
def test_a_value_of_a_wrong_type_is_damage(stored: Path) -> None:
    """Format 2 would have taken it."""
    asked_to_spoil = "UPDATE jobs SET cores = 'many' WHERE rowid = 5"
    with closing(sqlite3.connect(stored)) as connection, connection:
        connection.execute(asked_to_spoil)
    with pytest.raises(LedgerUnreadable, match="cannot store TEXT value in INTEGER column"):
        open_ledger(stored, WHOSE)


def test_the_first_one_knew_no_profile_and_finds_out_anew_how_far_it_had_read(
    tmp_path: Path,
) -> None:
    path = Path(shutil.copy(STORED / "format-2-first.ledger", tmp_path))
    ledger = open_ledger(path, WHOSE)
    progress = ledger.progress
    zone = progress.profile.zone
    assert (zone.value, zone.evidence) == ("utc", "as an earlier version has read them")
    assert (progress.newest_at, progress.frontier_at) == (None, None)
    assert progress == Progress(
        began_at=1795858717.0,
        last_success_at=progress.last_success_at,
        synced_at=progress.synced_at,
        known="all",
        expected=6517,
        profile=progress.profile,
    )
    ledger.close()


def test_a_queue_that_was_always_folded_had_added_everything_to_the_others() -> None:
    """So the first versions, which kept no parts of it, showed it."""
    named, folded = CounterKey("ended", "a", "exited"), CounterKey("ended", "b", "exited")
    tallies = {named: Amount(3), folded: Amount(5), folded._replace(queue="c"): Amount(7)}
    assert accounts_of(tallies, {"queue": frozenset("a")}) == {
        "owed": {},
        "shown": {named: Amount(3), folded._replace(queue=OTHER): Amount(12)},
        "elsewhere": {key: amount for key, amount in tallies.items() if key != named},
    }
    assert accounts_of(tallies, {})["owed"] == tallies  # nothing was ever shown


def test_what_was_not_yet_shown_of_a_former_counter_is_owed() -> None:
    """Its queue had no name, and may have been left out: then nothing of it is added to the others."""
    key = CounterKey("ended", "b", "exited")
    names = {"queue": frozenset("a"), COUNTED: frozenset("ab")}
    owed = {"owed": {key: Amount(5)}, "shown": {}, "elsewhere": {}}
    assert accounts_of({key: Amount(5)}, names) == owed


@pytest.mark.parametrize("parts", [{}, {"own ended": 3, "other ended": 2}])
def test_of_a_former_queue_really_called_other_all_is_in_that_series(parts: dict[str, int]) -> None:
    """Then a power cut does not count it twice."""
    key = CounterKey("ended", OTHER, "exited")
    tallies = {key: Amount(5), **{key._replace(kind=kind): Amount(n) for kind, n in parts.items()}}
    names = {"queue": frozenset({OTHER}), COUNTED: frozenset({OTHER})}
    shown = {"owed": {}, "shown": {key: Amount(5)}, "elsewhere": {key: Amount(5)}}
    assert accounts_of(tallies, names) == shown
