"""Opens or creates the ledger of one cluster, in a file or in memory."""

import sqlite3
from contextlib import closing
from pathlib import Path

from exporter.errors import LedgerUnreadable, LedgerUnwritable, StateError
from exporter.ledger.connection import check, closed_on_failure, connect, lay_out
from exporter.ledger.jobs import CacheLimit, TimeColumn
from exporter.ledger.ledger import Ledger
from exporter.ledger.marks import Marks
from exporter.ledger.published import NOTHING, Published
from exporter.ledger.suspects import GONE_KEPT_SECONDS

__all__ = [
    "GONE_KEPT_SECONDS", "CacheLimit", "Ledger", "LedgerUnreadable", "LedgerUnwritable", "Marks", "TimeColumn",
    "open_ledger", "read_ledger",
]  # fmt: skip


def open_ledger(
    path: Path | None,
    identity: str,
    published: Published = NOTHING,
    cache_limit: CacheLimit | None = None,
) -> Ledger:
    """Open the ledger in a file, or create it; None keeps it in memory.

    ``identity`` names the remote list; no counter is lower than in ``published``; ``cache_limit`` is
    shared with other ledgers. Raises ``LedgerUnreadable`` if the file is not a ledger of this list, and
    ``LedgerUnwritable`` if it cannot be written.
    """
    new = path is None or not path.exists()
    connection = connect(path)
    try:
        with closed_on_failure(connection):
            (lay_out if new else check)(connection, identity)
            return Ledger(connection, path, published, cache_limit or CacheLimit())
    except BaseException:
        if new and path is not None:
            path.unlink(missing_ok=True)
        raise


def read_ledger(
    path: Path, identity: str, published: Published = NOTHING, cache_limit: CacheLimit | None = None
) -> Ledger:
    """Read a ledger from a disk that cannot be written into memory. Raises ``StateError``."""
    try:
        # Includes the log of the last transactions, if the files beside the ledger can be read.
        return _read_ledger(path, identity, published, cache_limit or CacheLimit(), "mode=ro")
    except StateError:
        # Immutable: SQLite does not need the files beside it, which it cannot create here.
        return _read_ledger(
            path, identity, published, cache_limit or CacheLimit(), "mode=ro&immutable=1"
        )


def _read_ledger(
    path: Path, identity: str, published: Published, cache_limit: CacheLimit, options: str
) -> Ledger:
    connection = connect(None)
    with closed_on_failure(connection):
        source = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=0.5)
        with closing(source):
            source.backup(connection)
        check(connection, identity)
        return Ledger(connection, None, published, cache_limit)
