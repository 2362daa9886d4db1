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
from exporter.ledger.counters import PUBLISHED, Account, Amount, Amounts, CounterKey
from exporter.ledger.former import COUNTED, accounts_of
from exporter.ledger.proof import proof_of, require_proof
from exporter.ledger.state_files import LEDGER_SUFFIXES, replace_private, write_private

Names = Mapping[str, frozenset[str]]
"""By label, the values that have been shown under their own name."""


class _Row(msgspec.Struct, array_like=True):
    kind: str
    queue: str
    of: str
    times: int
    seconds: int | float
    buckets: tuple[int, ...] = ()

    @property
    def counter(self) -> tuple[CounterKey, Amount]:
        key = CounterKey(self.kind, self.queue, self.of)
        return key, Amount(self.times, int(self.seconds), self.buckets)


class _Content(msgspec.Struct, array_like=True):
    tallies: list[_Row]
    """The counters of queues, as earlier versions wrote them."""
    names: dict[str, list[str]]
    shown: list[_Row] = []
    elsewhere: list[_Row] = []
    """Earlier versions have none of either, or those of users only."""


_LINE = msgspec.json.Decoder(tuple[msgspec.Raw, int])
_CONTENT = msgspec.json.Decoder(_Content)
_DAMAGE = (msgspec.MsgspecError, LedgerUnreadable, ValueError)
"""What reading a damaged line raises."""


@dataclass(frozen=True, slots=True)
class Published:
    """What was published. No counter may be lower again."""

    names: Names = field(default_factory=dict)
    counters: Mapping[Account, Amounts] = field(
        default_factory=lambda: {account: {} for account in PUBLISHED}
    )


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
    names = {label: frozenset(of) for line in lines for label, of in line.names.items()}
    tallies = dict(row.counter for line in lines for row in line.tallies)
    former = accounts_of(tallies, names)
    counters = {
        account: former[account]
        | dict(row.counter for line in lines for row in getattr(line, account))
        for account in PUBLISHED
    }
    names.pop(COUNTED, None)
    return Published(names, counters)


def _lines(found: bytes) -> list[_Content]:
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


def _read(line: bytes) -> _Content:
    written, proof = _LINE.decode(line)
    require_proof(msgspec.json.decode(written), proof)
    return _CONTENT.decode(written)


def _line(published: Published) -> bytes:
    names = {label: sorted(values) for label, values in published.names.items()}
    counters = [
        [(*key, *amount) for key, amount in published.counters[account].items()]
        for account in PUBLISHED
    ]
    content = ([], names, *counters)
    return msgspec.json.encode((content, proof_of(content))) + b"\n"


def _beside(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + LEDGER_SUFFIXES[-1])
