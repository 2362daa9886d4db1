"""Jobs that seem to be gone: taken out of the table of jobs until this is proven or refuted.

The next answer may have the jobs again that one has left out. So jobs that changed within the last day
are remembered for a day after they are gone: if they come back, they are not counted as new.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from exporter.ledger import schema
from exporter.ledger.jobs import BATCH, JobTable
from exporter.model import Job

GONE_KEPT_SECONDS = 86400.0

_COLUMNS = schema.JOB_COLUMNS
_SOME = "uuid IN (SELECT value FROM json_each(?))"


class Suspects:
    """The suspected jobs and those that are gone, in tables of their own. Suspects are temporary: they end
    with the process, and with a transaction that is rolled back."""

    def __init__(self, connection: sqlite3.Connection, table: JobTable) -> None:
        self._connection = connection
        self._table = table
        self._kept_count = self.count = 0

    def add(self, jobs: Sequence[Job]) -> None:
        """Add jobs that are taken out of the table of jobs."""
        self._connection.execute(schema.SUSPECTS)
        self._connection.executemany(
            f"INSERT OR REPLACE INTO suspects ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self._table.rows(jobs),
        )
        self.count += len(jobs)

    def take_back(self, uuids: Collection[str]) -> dict[str, Job]:
        """Remove jobs from the suspects and from those that are gone: they have been seen. Returns those
        that were there, as they were known."""
        found: dict[str, Job] = {}
        if self.count:
            found = self._take("suspects", uuids)
            self.count -= len(found)
        if self._connection.execute("SELECT 1 FROM gone LIMIT 1").fetchone():
            found |= self._take("gone", uuids)
        return found

    def take_all(self) -> Iterator[list[Job]]:
        """Remove all suspects. Yields their jobs, in batches."""
        if self.count:
            self._connection.execute("DELETE FROM gone WHERE uuid IN (SELECT uuid FROM suspects)")
        while self.count:
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM suspects ORDER BY rowid LIMIT {BATCH}"
            ).fetchall()
            self._connection.execute(
                "DELETE FROM suspects WHERE rowid IN"
                f" (SELECT rowid FROM suspects ORDER BY rowid LIMIT {BATCH})"
            )
            self.count = self.count - len(rows) if rows else 0
            yield list(self._table.jobs(rows))

    def forget(self, now_at: float) -> int:
        """Note that the suspects are gone. Returns how many there were."""
        gone, self.count = self.count, 0
        if gone:
            kept_from_at = int(now_at - GONE_KEPT_SECONDS)
            self._connection.execute("DELETE FROM gone WHERE modified_at < ?", (kept_from_at,))
            self._connection.execute(
                f"INSERT OR REPLACE INTO gone ({_COLUMNS}) SELECT {_COLUMNS} FROM suspects"
                " WHERE modified_at >= ?",
                (kept_from_at,),
            )
            self._connection.execute("DELETE FROM suspects")
        return gone

    def clear(self) -> None:
        """Remove all suspects, and all jobs that are gone."""
        if self.count:
            self._connection.execute("DELETE FROM suspects")
        self._connection.execute("DELETE FROM gone")
        self.count = 0

    def keep(self) -> None:
        """Before a commit: remember the suspects as jobs that are gone, in case the process ends before it is known."""
        if self.count:
            self._connection.execute(
                f"INSERT OR REPLACE INTO gone ({_COLUMNS}) SELECT {_COLUMNS} FROM suspects"
            )

    def committed(self) -> None:
        """The transaction was committed: suspects stay suspects."""
        self._kept_count = self.count

    def rolled_back(self) -> None:
        """The transaction was rolled back: only suspects of earlier transactions are left."""
        self.count = self._kept_count

    def _take(self, name: Literal["suspects", "gone"], uuids: Collection[str]) -> dict[str, Job]:
        asked = json.dumps(list(uuids))
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM {name} WHERE {_SOME}", (asked,)
        ).fetchall()
        if rows:
            self._connection.execute(f"DELETE FROM {name} WHERE {_SOME}", (asked,))
        return {job.uuid: job for job in self._table.jobs(rows)}
