"""Taking records of the remote list into the ledger, counting every transition once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from exporter.ledger.records import Change
from exporter.ledger.store import Ledger, Marks
from exporter.model import Job
from exporter.sync.evidence import changed_at
from exporter.sync.transitions import transitions

RECENT_SECONDS = 3600.0
"""How long a (queue, user) without active jobs keeps its zeros (the metrics' contract)."""


@dataclass(slots=True)
class Intake:
    """The door of one ledger, for one sync."""

    ledger: Ledger
    began_at: float
    """The server's time when the ledger began."""
    now_at: float
    """The server's time now, as well as it is known."""
    window_from_at: float = float("-inf")
    """Ended jobs that changed before this are not wanted."""
    settled: bool = False
    """Whether the ledger was complete when the sync began: only then can an audit find faults."""
    known_up_to_at: int | None = None
    """Every change stamped before this had been seen when the sync began."""
    also_mark: Marks | None = None
    """The jobs that a scan in the background has met: those that come in here are met, too."""
    corrections: dict[str, int] = field(default_factory=dict)
    changes: int = 0
    changed: dict[str, int] = field(default_factory=dict)
    """What has changed, and when, as this sync has seen it."""

    def take(self, jobs: Sequence[Job], *, audit: bool = False) -> list[Change]:
        """Apply records. With ``audit``, count those that a delta ought to have brought."""
        wanted = jobs
        if self.window_from_at != float("-inf"):
            wanted = self._within_window(jobs)
        if self.also_mark is not None:
            self.also_mark.add_met_elsewhere(job.uuid for job in jobs)
        changes = self.ledger.apply(wanted)
        for old, new in changes:
            # In a window, what is older than it and unknown has been known, and has left it.
            began_at = max(self.began_at, self.window_from_at)
            for counted in transitions(old, new, began_at=began_at):
                self.ledger.tally(counted.key, seconds=counted.seconds, bucket=counted.bucket)
            self.changed[new.uuid] = changed_at(new)
            if new.ended and changed_at(new) >= self.now_at - RECENT_SECONDS:
                self.ledger.note_activity(new.queue, new.user, changed_at(new))
        self.changes += len(changes)
        if audit and self.settled:
            self._judge(changes)
        return changes

    def correct(self, kind: str, jobs: int) -> None:
        """Note that an audit has put jobs right."""
        if jobs:
            self.corrections[kind] = self.corrections.get(kind, 0) + jobs

    def _within_window(self, jobs: Sequence[Job]) -> list[Job]:
        # A job that is known is followed to its end, however old; it leaves with the window.
        known = self.ledger.known(job.uuid for job in jobs)
        return [
            job
            for job in jobs
            if not job.ended or changed_at(job) >= self.window_from_at or job.uuid in known
        ]

    def _judge(self, changes: Sequence[Change]) -> None:
        if self.known_up_to_at is None:
            return
        for old, new in changes:
            if changed_at(new) < self.known_up_to_at:
                if old is not None and old.status == "":
                    continue  # it was known to have changed, only not to what
                self.correct("missing" if old is None else "changed", 1)
