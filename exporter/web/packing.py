"""Parts of a text, some of them already compressed -> the text, or one gzip stream. Pure.

Several gzip members in a row are one gzip stream (RFC 1952, section 2.2). So a piece that stays as it
is can be compressed once and be part of many answers. (Not all that call themselves readers of gzip
read on behind the first member: curl does not.) A small one is not worth a member of its own:
it is compressed together with its neighbours.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby, repeat

LEAST_PACKED_BYTES = 1000
"""A shorter text compressed by itself is hardly shorter."""

LINES_TOGETHER = 16
"""The lines of so many neighbours are one piece: of hundreds, only those of a few are joined anew when
one has changed."""

Lines = tuple[bytes, ...]
"""Of a cluster or an account, its lines of each family."""
Pieces = tuple[bytes, ...]
"""Of one text, in order."""

_GZIP_LEVEL = 1
"""The fastest; it shrinks this text ten times, and the best one does little better."""


_KEPT_TEXTS = 20
_GZIP_BITS = 16
"""Added to those of the window, for gzip's own header."""
_LEAST_BITS = 9
_READ_BYTES = 4096


class Packed(bytes):
    """Gzip members."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Bunch:
    """Neighbours, and the lines of all of them, of each family."""

    members: tuple[Lines, ...]
    lines: tuple[Pieces, ...]


def bunched(lines: Sequence[Lines], known: Iterable[Bunch]) -> list[Bunch]:
    """Neighbours put together. What has not changed is taken from those that are known."""
    groups = (
        tuple(lines[first : first + LINES_TOGETHER])
        for first in range(0, len(lines), LINES_TOGETHER)
    )
    before = chain(known, repeat(Bunch((), ())))
    return [_bunch(members, was) for members, was in zip(groups, before, strict=False)]


def _bunch(members: tuple[Lines, ...], before: Bunch) -> Bunch:
    if members == before.members:
        return Bunch(members, before.lines)
    families = zip(*members, strict=True)
    of_each = zip(zip(*before.members, strict=True), before.lines, strict=True)
    return Bunch(
        members,
        tuple(
            piece if now == then else together(now)
            for now, (then, piece) in zip(families, chain(of_each, repeat(((), ()))), strict=False)
        ),
    )


def packed(text: bytes) -> bytes:
    """A text that is going to be in many answers, compressed if that is worth it."""
    return text if len(text) < LEAST_PACKED_BYTES else _pack(text)


def together(pieces: Iterable[bytes]) -> Pieces:
    """Neighbours, with small ones joined, as above. A large one that is compressed stays the same object: it takes memory
    once, wherever it is a part."""
    pieces = tuple(pieces)
    if Packed not in map(type, pieces):
        return (packed(b"".join(pieces)),)
    found: list[bytes] = []
    for kind, run in groupby(pieces, _kind):
        if kind is None:
            found += run
        else:
            text = b"".join(run)
            found.append(Packed(text) if kind is Packed else _pack(text))
    return tuple(found)


def _kind(piece: bytes) -> type[bytes] | None:
    """None for one that is large and compressed."""
    kind = type(piece)
    return None if kind is Packed and len(piece) >= LEAST_PACKED_BYTES else kind


def joined(pieces: Iterable[bytes]) -> bytes:
    """The same as one piece."""
    found = together(pieces)
    return found[0] if len(found) == 1 else Packed(b"".join(found))


def stream(pieces: Iterable[bytes]) -> bytes:
    """One gzip stream of them all."""
    return b"".join(_members(pieces))


def _members(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for kind, run in groupby(pieces, type):
        if kind is Packed:
            yield from run
        else:
            yield _pack_again(b"".join(run))


def whole(text: bytes) -> bytes:
    """One gzip member."""
    return _pack(text)


def plain(pieces: Iterable[bytes]) -> bytes:
    """The text of them all."""
    return b"".join(_unpacked(piece) if type(piece) is Packed else piece for piece in pieces)


def _unpacked(members: bytes) -> bytes:
    """The text of gzip members. ``gzip.decompress`` copies all that is behind each: of ten thousand, gigabytes."""
    text, rest, at = [], memoryview(members), 0
    while at < len(rest):
        reader = zlib.decompressobj(wbits=_GZIP_BITS + zlib.MAX_WBITS)
        while not reader.eof and at < len(rest):
            read = rest[at : at + _READ_BYTES]
            at += len(read)
            text.append(reader.decompress(read))
        at -= len(reader.unused_data)
    return b"".join(text)


def _pack(text: bytes) -> Packed:
    # The tables of a compressor are cleared first. For a short text that would take longer than all
    # the rest, if they were larger than the text.
    bits = min(zlib.MAX_WBITS, max(_LEAST_BITS, len(text).bit_length()))
    compressor = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_BITS + bits, memLevel=bits - 7)
    return Packed(compressor.compress(text) + compressor.flush())


_pack_again = lru_cache(_KEPT_TEXTS)(_pack)
"""Most of what stands between the members of a stream is the same each time."""
