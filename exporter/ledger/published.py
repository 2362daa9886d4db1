"""A file next to a ledger, with the counters as they were last published.

If a power cut shortens a ledger's log, a complete ledger of an earlier moment remains. What has happened
since is read and counted again. Until that is done, no counter may be lower than it was published:
Prometheus would take that for a restart from 0, and count all of it a second time.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from exporter.errors import LedgerUnreadable, LedgerUnwritable
from exporter.ledger.proof import proof_of, require_proof
from exporter.ledger.records import Tally, TallyKey
from exporter.ledger.state_files import LEDGER_SUFFIXES, replace_private, write_private
from exporter.ledger.usage import PUBLISHED, Account, Amount, Amounts, UsageKey

Shown = Mapping[str, frozenset[str]]
"""By label, the values that have been shown under their own name."""

_Row = tuple[str, str, str, int, float, list[int]]
_UsageRow = tuple[str, str, str, int, int]


class _Content(msgspec.Struct, array_like=True):
    rows: list[_Row]
    shown: dict[str, list[str]]
    usage: list[_UsageRow] = []
    elsewhere: list[_UsageRow] = []
    """Earlier versions have none of either."""


_LINE = msgspec.json.Decoder(tuple[msgspec.Raw, int])
_CONTENT = msgspec.json.Decoder(_Content)
_DAMAGE = (msgspec.MsgspecError, LedgerUnreadable, ValueError)
"""What reading a damaged line raises."""


@dataclass(frozen=True, slots=True)
class Published:
    """What was published. No counter may be lower again."""

    tallies: Mapping[TallyKey, Tally] = field(default_factory=dict)
    shown: Shown = field(default_factory=dict)
    usage: Mapping[Account, Amounts] = field(default_factory=lambda: {key: {} for key in PUBLISHED})


NOTHING = Published()


class LedgerFile:
    """The file of an open ledger, and the file of published counters next to it.

    Counters that have changed are appended to the latter as one line, until it has grown to twice its
    size; then it is written anew.
    """

    def __init__(self, path: Path) -> None:
        """Raises ``LedgerUnwritable`` if it is not there."""
        self._path = path
        self._state = self._look()
        self._room = 0
        """How many bytes may be appended to the file of published counters; 0 while that may be incomplete."""

    def require(self) -> None:
        """Raises ``LedgerUnwritable`` if the ledger's file was removed or replaced: SQLite would go on
        writing to the old file, which nobody will ever read."""
        if self._look() != self._state:
            raise LedgerUnwritable("its file has been replaced")

    def remember(self, whole: Callable[[], Published], changed: Published) -> None:
        """Write what is about to be published: what has ``changed`` since the last call, or the
        ``whole``. Raises ``LedgerUnwritable``."""
        beside = _beside(self._path)
        try:
            line = _line(changed)
            room, self._room = self._room, 0  # if this fails, the line may be incomplete
            if len(line) < room and beside.is_file():
                write_private(beside, line, os.O_APPEND)
                self._room = room - len(line)
                return
            line = _line(whole())
            replace_private(beside, line)
            self._room = len(line)
        except OSError as error:
            raise LedgerUnwritable(f"{beside.name} cannot be written ({error.strerror})") from error

    def _look(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise LedgerUnwritable(f"its file is gone ({error.strerror})") from error
        return status.st_dev, status.st_ino


def read_published(ledger: Path) -> Published:
    """What was last published of a ledger; ``NOTHING`` if there is no such file. Raises
    ``LedgerUnreadable`` if it is damaged, and ``LedgerUnwritable`` if it cannot be read now."""
    beside = _beside(ledger)
    try:
        if beside.exists() and not beside.is_file():  # a pipe would block
            raise LedgerUnreadable(f"{beside.name} is not a regular file")
        found = beside.read_bytes()
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        raise LedgerUnwritable(f"{beside.name} cannot be read ({error.strerror})") from error
    try:
        lines = _lines(found)
    except _DAMAGE as error:
        raise LedgerUnreadable(f"{beside.name} is damaged") from error
    return Published(
        {key: tally for line in lines for key, tally in line.tallies.items()},
        {label: values for line in lines for label, values in line.shown.items()},
        {
            account: {key: amount for line in lines for key, amount in line.usage[account].items()}
            for account in PUBLISHED
        },
    )


def _lines(found: bytes) -> list[Published]:
    """What the lines say. Raises one of ``_DAMAGE``.

    After a power cut, the line that was being appended may be cut short, or have something else in it.
    This does no harm: counters are published only when their line is on the disk. If the last line was
    damaged later, the ledger itself still has its counters.
    """
    first, *added, end = found.split(b"\n") if b"\n" in found else (found, b"")
    last = added.pop() if added and not end else None
    lines = [_read(line) for line in (first, *added)]
    if last is not None:
        with suppress(*_DAMAGE):
            lines.append(_read(last))
    return lines


def _read(line: bytes) -> Published:
    written, proof = _LINE.decode(line)
    require_proof(msgspec.json.decode(written), proof)
    content = _CONTENT.decode(written)
    tallies = {
        TallyKey(kind, queue, status): Tally(count, seconds, buckets)
        for kind, queue, status, count, seconds, buckets in content.rows
    }
    shown = {label: frozenset(values) for label, values in content.shown.items()}
    usage = {
        account: {UsageKey(*row[:3]): Amount(*row[3:]) for row in rows}
        for account, rows in zip(PUBLISHED, (content.usage, content.elsewhere), strict=True)
    }
    return Published(tallies, shown, usage)


def _line(published: Published) -> bytes:
    rows = [
        (*key, tally.count, tally.sum_seconds, tally.buckets)
        for key, tally in published.tallies.items()
    ]
    shown = {label: sorted(values) for label, values in published.shown.items()}
    usage = [
        [(*key, *amount) for key, amount in published.usage[account].items()]
        for account in PUBLISHED
    ]
    content = (rows, shown, *usage)
    return msgspec.json.encode((content, proof_of(content))) + b"\n"


def _beside(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + LEDGER_SUFFIXES[-1])
