"""A hash table in memory that tells in which row a job may be: identity -> row number.

Identities are random. With an index of them in the file, nearly every look-up or insertion would read or
write another page of it. This table takes 8 bytes a slot, and at most six in ten slots are in use: 17 MB
for a million jobs.

An entry is only a hint: half a hash and a row number, which is enough for four billion jobs. That half
also tells the slot at which a search begins, so the table can grow without reading identities. Whoever
follows a hint compares the identity in the row. So entries need not be removed: if a row was deleted, or its
insertion rolled back, the hint leads to no job, or to another one.
"""

from array import array
from collections.abc import Iterable
from math import ceil

_SMALLEST = 1 << 10
_MOST_IN_USE = 0.6
_GROWTH = 1.25
_ROW_BITS = 32
_ROW_MASK = (1 << _ROW_BITS) - 1
_TAG_MASK = _ROW_MASK

MOST_ROW_NUMBER = _ROW_MASK
"""Row numbers go from 1 to this."""


class RowHints:
    """Hints by the hash of an identity, with open addressing and linear probing."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _SMALLEST))
        self._in_use = 0

    def has_room(self, jobs: int) -> bool:
        """Whether this many jobs can be added; if not, call ``grow`` or ``refill``."""
        return self._in_use + jobs <= _MOST_IN_USE * len(self._slots)

    def is_small_for(self, jobs: int) -> bool:
        """Whether ``refill`` would make the table larger for this many jobs. If not, it is full of hints
        that lead to no job."""
        return jobs * _GROWTH > _MOST_IN_USE * len(self._slots)

    def grow(self) -> None:
        """Double the number of slots."""
        before = self._slots
        size = 2 * len(before)
        slots = array("Q", bytes(8)) * size
        for entry in before:
            if entry:
                slot = (entry >> _ROW_BITS) % size
                while slots[slot]:
                    slot = (slot + 1) % size
                slots[slot] = entry
        self._slots = slots

    def refill(self, jobs: int, entries: Iterable[tuple[str, int]]) -> None:
        """Replace all hints by those of ``jobs`` jobs, given as identities and row numbers, with room for
        more."""
        size = max(_SMALLEST, ceil(jobs * _GROWTH / _MOST_IN_USE))
        self._slots = array("Q")  # frees the old table before the new one is made
        self._slots = array("Q", bytes(8)) * size
        self._in_use = 0
        self.add(entries)

    def add(self, entries: Iterable[tuple[str, int]]) -> None:
        """Add hints."""
        slots, size, tag_mask, added = self._slots, len(self._slots), _TAG_MASK, 0
        for uuid, row_number in entries:
            tag = hash(uuid) & tag_mask
            slot = tag % size
            while slots[slot]:
                slot = (slot + 1) % size
            slots[slot] = tag << _ROW_BITS | row_number
            added += 1
        self._in_use += added

    def hints(self, uuids: Iterable[str]) -> list[int]:
        """The numbers of the rows in which the jobs may be. Some of these rows may have other jobs, or be
        gone."""
        slots, size = self._slots, len(self._slots)
        found = []
        for uuid in uuids:
            tag = hash(uuid) & _TAG_MASK
            slot = tag % size
            while entry := slots[slot]:
                if entry >> _ROW_BITS == tag:
                    found.append(entry & _ROW_MASK)
                slot = (slot + 1) % size
        return found
