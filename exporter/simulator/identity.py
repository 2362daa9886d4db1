"""Identities such as ``hpcjob-vka21yhq``, made from a job's number and back.

A number is scrambled by a bijection, so that identities look random, never collide within a list,
need no memory, and sort in an order that is arbitrary but stable.
"""

from functools import lru_cache

_UUID_BITS = 40
_UUID_MASK = (1 << _UUID_BITS) - 1
_UUID_FACTOR = 0x9E3779B97F4A7C15 & _UUID_MASK | 1
_UUID_INVERSE = pow(_UUID_FACTOR, -1, 1 << _UUID_BITS)
_UUID_PREFIX = "hpcjob-"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [left + right for left in _DIGITS for right in _DIGITS]


def scrambled(number: int, salt: int) -> int:
    """The value that orders identities as their text does."""
    return (number * _UUID_FACTOR & _UUID_MASK) ^ (salt & _UUID_MASK)


def unscrambled(value: int, salt: int) -> int:
    """The number that ``scrambled`` was given."""
    return ((value ^ (salt & _UUID_MASK)) * _UUID_INVERSE) & _UUID_MASK


@lru_cache(maxsize=1 << 16)
def identity(number: int, salt: int) -> str:
    """The identity of a job."""
    rest, low = divmod(scrambled(number, salt), len(_PAIRS))
    rest, middle = divmod(rest, len(_PAIRS))
    top, high = divmod(rest, len(_PAIRS))
    return f"{_UUID_PREFIX}{_PAIRS[top]}{_PAIRS[high]}{_PAIRS[middle]}{_PAIRS[low]}"


def number_of(uuid: str, salt: int) -> int:
    """The number of a job; ``KeyError`` if no job can have that identity."""
    try:
        number = unscrambled(int(uuid.removeprefix(_UUID_PREFIX), 36), salt)
    except ValueError:
        raise KeyError(uuid) from None
    if identity(number, salt) != uuid:
        raise KeyError(uuid)
    return number
