"""The proof of a row: a checksum stored with it, which shows damage that SQLite does not notice.

SQLite checks the structure of a file, not the values in it: a count with a wrong digit is still a count.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from exporter.errors import LedgerUnreadable

Values = Sequence[Any]
"""Texts, numbers and None, as SQLite gives them back."""

Row = TypeVar("Row", bound=Sequence[Any])

_encoded = msgspec.msgpack.Encoder().encode


def proof_of(values: Values) -> int:
    """The proof of a row's values, in their order."""
    return crc32(_encoded(values))


def proven(values: Values) -> tuple[Any, ...]:
    """A row to be written: the values and their proof."""
    return (*values, crc32(_encoded(values)))


def require_proof(values: Values, proof: object) -> None:
    """Raises ``LedgerUnreadable`` if these are not the values that were written."""
    if crc32(_encoded(values)) != proof:
        raise LedgerUnreadable("a row of it is damaged")


def checked(rows: Iterable[Row], place: int = -1) -> Iterator[Row]:
    """The rows that were written, the proof of what precedes it at a ``place``. Raises
    ``LedgerUnreadable`` for one that was not."""
    for row in rows:
        if crc32(_encoded(row[:place])) != row[place]:
            raise LedgerUnreadable("a row of it is damaged")
        yield row
