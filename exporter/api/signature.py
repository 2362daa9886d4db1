"""Signing a request (API reference, section 2). Pure.

The sibling IaaS API of the same vendor signs without the MD5 line and encodes the signature once.
Should a deployment follow that rule, ``_string_to_sign`` and ``_encode_signature`` are the place.

A ``/`` in a value is signed as ``%2F`` by the documentation's rule, as it is by the vendor's own
client: ``plain_slash`` says which. What travels is spelled as it was signed.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote


def sign(
    method: str, path: str, params: Mapping[str, str], secret: str, *, plain_slash: bool = False
) -> str:
    """The signature of a request without a body, in base64, not yet URL-encoded.

    ``path`` is that of the request, with or without its trailing slash; ``params`` are all
    parameters but ``signature``, not encoded.
    """
    text = _string_to_sign(method, path, _query(params, plain_slash=plain_slash))
    return base64.b64encode(hmac.digest(_octets(secret), _octets(text), hashlib.sha256)).decode()


def signed_query(
    method: str, path: str, params: Mapping[str, str], secret: str, *, plain_slash: bool = False
) -> str:
    """The query string to send, byte for byte: the parameters in order, the signature last."""
    signature = sign(method, path, params, secret, plain_slash=plain_slash)
    return f"{_query(params, plain_slash=plain_slash)}&signature={_encode_signature(signature)}"


def _query(params: Mapping[str, str], *, plain_slash: bool) -> str:
    safe = "/" if plain_slash else ""
    return "&".join(f"{_encode(name)}={_encode(params[name], safe)}" for name in sorted(params))


def _string_to_sign(method: str, path: str, query: str, body: bytes = b"") -> str:
    uri = path.rstrip("/") + "/"
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return f"{method}\n{uri}\n{query}\n{digest}"


def _encode_signature(signature: str) -> str:
    return _encode(_encode(signature))


def _encode(text: str, safe: str = "") -> str:
    return quote(_octets(text), safe=safe)


def _octets(text: str) -> bytes:
    # Keys from the environment may hold bytes that are no UTF-8; sign what is really there.
    return text.encode("utf-8", "surrogateescape")
