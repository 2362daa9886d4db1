"""Numbers for texts that occur often, so that each text is stored once."""

import sqlite3
from sys import intern
from typing import Literal, NoReturn

from exporter.errors import LedgerUnreadable
from exporter.ledger.proof import checked, proven


class _Texts(dict[int, str]):
    """The text of each number. Raises ``LedgerUnreadable`` for a number that has none."""

    def __missing__(self, number: int) -> NoReturn:
        raise LedgerUnreadable("it is damaged")


class TextIds(dict[str, int]):
    """The number of each text. A text without a number gets one, which is written to the file.

    ``texts`` is the other direction. This is a dictionary, because every record of every page looks up
    three texts.
    """

    def __init__(
        self, connection: sqlite3.Connection, table: Literal["statuses", "queues", "users"]
    ) -> None:
        super().__init__()
        self._connection = connection
        self._table = table
        self.texts = _Texts()
        self.reload()

    def reload(self) -> None:
        """Read the table again: at the start, and after a transaction was rolled back."""
        rows = self._connection.execute(f"SELECT id, text, proof FROM {self._table}")
        self.texts = _Texts((number, intern(text)) for number, text, _ in checked(rows))
        self.clear()
        self.update((text, number) for number, text in self.texts.items())

    def __missing__(self, text: str) -> int:
        number = next(reversed(self.texts), 0) + 1  # they are in order
        self._connection.execute(
            f"INSERT INTO {self._table} VALUES (?, ?, ?)", proven((number, text))
        )
        self.texts[number] = text
        self[text] = number
        return number
