"""Pieces of a text, some of them compressed already -> the text, or one gzip stream. Pure.

Several gzip members in a row are one gzip stream (RFC 1952, section 2.2). So a piece that stays as it
is can be compressed once and be part of many answers. (Not all that call themselves readers of gzip
read on behind the first member: curl does not.) A small one is not worth a member of its own:
it is compressed together with its neighbours.
"""

import gzip
from collections.abc import Iterable
from itertools import groupby

LEAST_PACKED_BYTES = 4000
"""A shorter text compressed by itself is hardly shorter."""

_GZIP_LEVEL = 1
"""The fastest; it shrinks this text ten times, and the best one does little better."""


class Packed(bytes):
    """Gzip members."""

    __slots__ = ()


def packed(text: bytes) -> bytes:
    """A text that is going to be in many answers, compressed if that is worth it."""
    return text if len(text) < LEAST_PACKED_BYTES else _pack(text)


def together(pieces: Iterable[bytes]) -> bytes:
    """Neighbours as one piece, as above."""
    runs = [_run(kind, run) for kind, run in groupby(pieces, type)]
    if len(runs) <= 1:
        run = runs[0] if runs else b""
        return run if type(run) is Packed else packed(run)
    return Packed(b"".join(map(_pack, runs)))


def stream(pieces: Iterable[bytes]) -> bytes:
    """One gzip stream of them all."""
    return b"".join(_pack(_run(kind, run)) for kind, run in groupby(pieces, type))


def plain(pieces: Iterable[bytes]) -> bytes:
    """The text of them all."""
    return b"".join(gzip.decompress(piece) if type(piece) is Packed else piece for piece in pieces)


def _run(kind: type[bytes], pieces: Iterable[bytes]) -> bytes:
    return kind(b"".join(pieces))


def _pack(text: bytes) -> Packed:
    if type(text) is Packed:
        return text
    return Packed(gzip.compress(text, _GZIP_LEVEL, mtime=0))
