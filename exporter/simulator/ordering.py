"""Sorted integer keys with access to the k-th one, for pages at any offset."""

import random
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

_CHUNK = 2048
"""Keys in a fresh chunk; one is split when it has twice as many."""


class OrderedKeys:
    """Unique unsigned 64-bit keys in ascending order.

    Chunks of packed integers: a million keys take 8 MB, and adding, removing and slicing at any
    offset each touch one chunk and the list of chunks.
    """

    __slots__ = ("_chunks", "_length", "_maxima")

    def __init__(self, keys: Iterable[int] = ()) -> None:
        ordered = array("Q", sorted(keys))
        self._chunks = [ordered[at : at + _CHUNK] for at in range(0, len(ordered), _CHUNK)]
        self._maxima = [chunk[-1] for chunk in self._chunks]
        self._length = len(ordered)

    def __len__(self) -> int:
        return self._length

    def add(self, key: int) -> None:
        """Put ``key`` in its place."""
        self._length += 1
        if not self._chunks:
            self._chunks.append(array("Q", [key]))
            self._maxima.append(key)
            return
        where = min(bisect_left(self._maxima, key), len(self._chunks) - 1)
        chunk = self._chunks[where]
        insort(chunk, key)
        self._maxima[where] = chunk[-1]
        if len(chunk) > 2 * _CHUNK:
            self._chunks[where : where + 1] = [chunk[:_CHUNK], chunk[_CHUNK:]]
            self._maxima[where : where + 1] = [chunk[_CHUNK - 1], chunk[-1]]

    def remove(self, key: int) -> None:
        """Take ``key`` out; ``KeyError`` if it is not there."""
        where = bisect_left(self._maxima, key)
        if where == len(self._chunks):
            raise KeyError(key)
        chunk = self._chunks[where]
        at = bisect_left(chunk, key)
        if chunk[at] != key:
            raise KeyError(key)
        del chunk[at]
        self._length -= 1
        if chunk:
            self._maxima[where] = chunk[-1]
        else:
            del self._chunks[where]
            del self._maxima[where]

    def rank(self, key: int) -> int:
        """How many keys are smaller than ``key``."""
        where = bisect_left(self._maxima, key)
        before = sum(map(len, self._chunks[:where]))
        if where == len(self._chunks):
            return before
        return before + bisect_left(self._chunks[where], key)

    def slice(self, start: int, stop: int) -> list[int]:
        """The keys at positions ``start`` to ``stop`` (exclusive), as far as there are any."""
        found: list[int] = []
        wanted = min(stop, self._length) - start
        if wanted <= 0:
            return found
        for chunk in self._chunks:
            if start >= len(chunk):
                start -= len(chunk)
                continue
            found.extend(chunk[start : start + wanted - len(found)])
            if len(found) == wanted:
                break
            start = 0
        return found

    def page(self, offset: int, limit: int, *, descending: bool) -> list[int]:
        """The ``limit`` keys from ``offset`` on, counted from the end that comes first."""
        if not descending:
            return self.slice(offset, offset + limit)
        stop = self._length - offset
        keys = self.slice(max(0, stop - limit), stop) if stop > 0 else []
        keys.reverse()
        return keys

    def shuffled(
        self, keys: list[int], offset: int, rng: random.Random, *, descending: bool
    ) -> list[int]:
        """A page, with every run of keys that are equal but for their low half drawn from a
        shuffle of the whole run, of which the page may have a part."""
        drawn: list[int] = []
        position = offset
        while len(drawn) < len(keys):
            tie = keys[len(drawn)] >> 32
            first, beyond = self.rank(tie << 32), self.rank((tie + 1) << 32)
            run = self.slice(first, beyond)
            rng.shuffle(run)
            begin = self._length - beyond if descending else first
            drawn.extend(run[position - begin :])
            position = begin + len(run)
        return drawn[: len(keys)]

    def __iter__(self) -> Iterator[int]:
        for chunk in self._chunks:
            yield from chunk
