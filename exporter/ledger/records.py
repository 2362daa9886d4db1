"""The values that go into a ledger and come out of it."""

from typing import Literal, NamedTuple

import msgspec

from exporter.model import Job
from exporter.profile import Profile, Trait

Change = tuple[Job | None, Job]
"""What one record of the remote list has changed in the ledger: a job before (None: it was not known) and now."""


class JobTotals(NamedTuple):
    """The jobs of one (status, queue, user), and the cores that they request."""

    jobs: int
    cores: int


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a ledger is known to equal the remote list. Saved with every transaction.

    The list is sorted as the profile says, newest first. From its head down to ``frontier_at`` all jobs
    are known. Behind that, some jobs are known, because other queries have shown them, and ``unread``
    are not::

        head ─── all known ─── frontier_at ··· only some known ··· end
    """

    began_at: float | None = None
    """The server's time when the ledger began. Transitions before this are not counted."""
    last_success_at: float | None = None
    """The server's time at the last sync that succeeded."""
    synced_at: float | None = None
    """The same moment by this machine's own clock."""
    newest_at: int | None = None
    """The newest moment that was known at the last sync, by the list's order; the next sync reads the list
    down to it."""
    frontier_at: int | None = None
    """Every job with this moment or a later one is known. None: all jobs are known."""
    unread: int | None = 0
    """How many more jobs the list has behind the frontier than the ledger. None: unknown."""
    known: Literal["", "active", "history", "all"] = ""
    """Which jobs are completely known, so that their counts may be published: the pending and running ones
    (``active``), those of the whole wanted ``history``, too, whose total fits, or ``all``: no other active job is
    older than that."""
    expected: int | None = None
    """``total_count`` of the whole list, as last seen."""
    checked_at: dict[str, float] = {}
    """When each check last ran, by its name. A scan of the whole list counts as a check."""
    profile: Profile = Profile()
    """What the server is known to do."""

    @property
    def complete(self) -> bool:
        """Whether the whole wanted history is known."""
        return self.known in ("history", "all")

    @property
    def active_known(self) -> bool:
        """Whether all pending and running jobs are known."""
        return self.known != ""


_PROGRESS = msgspec.json.Decoder(Progress)
_WRITTEN = msgspec.json.Decoder(dict[str, object])


def progress_of(text: str) -> Progress:
    """Decode progress, also that of earlier versions. The first version had no profile; then the frontier
    is dropped, too, and the history is read again. Raises ``msgspec.MsgspecError``."""
    progress, written = _PROGRESS.decode(text), _WRITTEN.decode(text)
    if written.get("active_known"):  # as earlier versions wrote it
        unread = "profile" in written and progress.frontier_at is not None
        known = ("history" if unread else "all") if written.get("complete") else "active"
        progress = msgspec.structs.replace(progress, known=known)
    if "profile" not in written:
        zone = Trait("utc", "as an earlier version has read them")
        profile = Profile(zone=zone)
        return msgspec.structs.replace(progress, newest_at=None, frontier_at=None, profile=profile)
    return progress
