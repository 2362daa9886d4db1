"""The proof of a row: a checksum stored with it. It shows damage that SQLite does not notice, because
SQLite checks the structure of a file, not the values in it.
"""

from collections.abc import Iterable, Iterator, Sequence
from operator import add
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from exporter.errors import LedgerUnreadable

Values = Sequence[Any]
"""Texts, numbers and None, as SQLite returns them."""

Row = TypeVar("Row", bound=Sequence[Any])

_encoded = msgspec.msgpack.Encoder().encode


def proof_of(values: Values) -> int:
    """The proof of a row's values, which depends on their order."""
    return crc32(_encoded(values))


def proven(values: Values) -> tuple[Any, ...]:
    """A row to be written: the values, then their proof."""
    return (*values, crc32(_encoded(values)))


def all_proven(rows: Sequence[Values]) -> list[tuple[Any, ...]]:
    """Many rows to be written. Without a call of ours for each: a history has a million."""
    return list(map(add, rows, zip(map(crc32, map(_encoded, rows)), strict=True)))


def require_proof(values: Values, proof: object) -> None:
    """Raises ``LedgerUnreadable`` if the values do not fit their proof."""
    if crc32(_encoded(values)) != proof:
        raise LedgerUnreadable("a row of it is damaged")


def checked(rows: Iterable[Row], place: int = -1) -> Iterator[Row]:
    """The same rows, checked. The proof is at index ``place``, and is about the values before it. Raises
    ``LedgerUnreadable`` for a row that does not fit its proof."""
    for row in rows:
        if crc32(_encoded(row[:place])) != row[place]:
            raise LedgerUnreadable("a row of it is damaged")
        yield row
