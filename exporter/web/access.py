"""Access control: basic authentication with bcrypt hashes."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import Counter, OrderedDict
from collections.abc import Mapping
from enum import Enum

import bcrypt

from exporter.web.threads import in_thread

_REMEMBERED = 256
"""Right answers, and wrong ones, that are remembered."""
_PLACES = 4
"""Checks of one peer that may wait for their turn; more than that are turned away."""
_BCRYPT_BYTES = 72
"""What bcrypt looks at; a longer password is no password of ours."""
_DECOY_TAIL = "N9qo8uLOickgx2ZMRZoMye5zRYNeQ4ZrXW7Mb5UzWbQnUe0ocPbiW"


class Verdict(Enum):
    """What became of somebody at the door."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    BUSY = "busy"
    """Too many others are being looked at."""


class BasicAuth:
    """Checks ``Authorization`` headers.

    A bcrypt check takes a tenth of a second of one core, on purpose. So it is made once for each
    new pair of user and password, in a thread, one at a time; the outcome is remembered under a
    digest that is keyed with a random key of this object, never the password itself. An unknown
    user costs the same check as a known one. Right and wrong answers are remembered apart, so that
    guessing cannot push out those who scrape; and each peer has places of its own, so that it cannot
    keep out those who are not known yet.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._turn = asyncio.Lock()
        self._waiting: Counter[str] = Counter()
        self.change(users)

    def change(self, users: Mapping[str, str]) -> None:
        """Let in these users from now on. What is remembered of one whose hash stays remains true."""
        self._hashes = {name: text.encode() for name, text in users.items()}
        cost = max(map(bcrypt_cost, users.values()), default=10)
        self._decoy = f"$2b${cost:02d}${_DECOY_TAIL}".encode()

    async def admits(self, authorization: str, peer: str) -> Verdict:
        """What to do with a request of ``peer`` with this header; an empty one is no header."""
        if not self._hashes:
            return Verdict.ADMITTED
        credentials = _decode(authorization)
        if credentials is None:
            return Verdict.REFUSED
        user, password = credentials
        known = self._hashes.get(user)
        digest = self._digest(user, password, known)
        remembered = self._remembered(digest)
        if remembered is not None:
            return remembered
        if self._waiting[peer] >= _PLACES:
            return Verdict.BUSY
        self._waiting[peer] += 1
        try:
            async with self._turn:
                return self._remembered(digest) or await self._check(known, password, digest)
        finally:
            self._waiting[peer] -= 1
            self._waiting += Counter()  # forget who does not wait

    async def _check(self, known: bytes | None, password: bytes, digest: bytes) -> Verdict:
        usable = len(password) <= _BCRYPT_BYTES and b"\0" not in password
        candidate = password if usable else b"-"
        matches = await in_thread(
            "web-auth", lambda: bcrypt.checkpw(candidate, known or self._decoy)
        )
        right = matches and usable and known is not None
        memory = self._right if right else self._wrong
        memory[digest] = None
        while len(memory) > _REMEMBERED:
            memory.popitem(last=False)
        return Verdict.ADMITTED if right else Verdict.REFUSED

    def _remembered(self, digest: bytes) -> Verdict | None:
        if digest in self._right:
            return Verdict.ADMITTED
        return Verdict.REFUSED if digest in self._wrong else None

    def _digest(self, user: str, password: bytes, known: bytes | None) -> bytes:
        parts = (user.encode("utf-8", "surrogatepass"), known or b"", password)
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, message, hashlib.sha256)


def bcrypt_cost(hashed: str) -> int:
    """What a check of it costs: each more doubles the time; 10 is a tenth of a second."""
    return int(hashed.split("$")[2])


def _decode(authorization: str) -> tuple[str, bytes] | None:
    scheme, _, payload = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(payload.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None
