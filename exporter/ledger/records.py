"""The values that go into a ledger and come out of it."""

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal, NamedTuple

import msgspec

from exporter.model import Job
from exporter.profile import Profile, Trait


class Change(NamedTuple):
    """What applying one record of the remote list did to the ledger."""

    old: Job | None
    """None for a job that was not known."""
    new: Job


class JobTotals(NamedTuple):
    """Jobs of one (status, queue, user), and the cores they ask for."""

    jobs: int
    cores: int


class TallyKey(NamedTuple):
    """A counter of transitions: ``kind`` is submitted, started, ended, wait or run, or that of a part of
    such a counter."""

    kind: str
    queue: str
    status: str


@dataclass(slots=True)
class Tally:
    """How often, how long in all, and the distribution over the buckets of a histogram."""

    count: int = 0
    sum_seconds: float = 0.0
    buckets: list[int] = field(default_factory=list)

    def minus(self, part: "Tally | None") -> "Tally":
        """What is left of it without a part; None takes nothing away."""
        part = part or Tally()
        return Tally(
            self.count - part.count,
            self.sum_seconds - part.sum_seconds,
            [a - b for a, b in zip_longest(self.buckets, part.buckets, fillvalue=0)],
        )


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a ledger is known to equal the remote list. Saved with every transaction.

    In the order that the profile gives, newest first, the list is known from its head down to
    ``frontier_at``; behind it some jobs are known, and ``unread`` are not::

        head ─── known ─── frontier_at ··· not read, but for jobs met elsewhere ··· end
    """

    began_at: float | None = None
    """The server's time when the ledger began; what happened before is not counted as seen."""
    last_success_at: float | None = None
    """The server's time at the last sync that succeeded."""
    synced_at: float | None = None
    """The same moment by this machine's own clock."""
    newest_at: int | None = None
    """The newest moment, in the order that the profile gives, down to which all is known."""
    frontier_at: int | None = None
    """Every job of this moment or later is known; None: all jobs are."""
    unread: int | None = 0
    """How many more jobs the list has behind the frontier than the ledger; None: that is not known."""
    known: Literal["", "active", "all"] = ""
    """Which jobs are known, so that their counts may be published: all that are active, or the whole
    history that is wanted, too, with a total that fits."""
    expected: int | None = None
    """``total_count`` of the whole list, when last seen."""
    checked_at: dict[str, float] = {}
    """When each check last ran, by its name; a scan of the whole list is one."""
    profile: Profile = Profile()
    """What the server is known to do."""

    @property
    def complete(self) -> bool:
        """Whether the whole history that is wanted is known."""
        return self.known == "all"

    @property
    def active_known(self) -> bool:
        """Whether all active jobs are known."""
        return self.known != ""


_PROGRESS = msgspec.json.Decoder(Progress)
_WRITTEN = msgspec.json.Decoder(dict[str, object])


def progress_of(text: str) -> Progress:
    """As it was written, also by earlier versions: the first knew no profile, and how far the history
    was read is found out anew. Raises ``msgspec.MsgspecError``."""
    progress, written = _PROGRESS.decode(text), _WRITTEN.decode(text)
    if written.get("active_known"):  # as earlier versions wrote it
        known: Literal["active", "all"] = "all" if written.get("complete") else "active"
        progress = msgspec.structs.replace(progress, known=known)
    if "profile" not in written:
        zone = Trait("utc", "as an earlier version has read them")
        profile = Profile(zone=zone)
        return msgspec.structs.replace(progress, newest_at=None, frontier_at=None, profile=profile)
    return progress
