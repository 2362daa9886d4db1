"""The signature as the cloud checks it (API reference, section 2).

It deliberately shares no code with the client: two independent readings of a text can disagree, and
then a test fails.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote, unquote

from exporter.simulator.refusal import RefusalError

_NO_BODY = hashlib.md5(b"", usedforsecurity=False).hexdigest()


def signature(
    method: str, path: str, params: Mapping[str, str], secret: str, *, slash: str = "encoded"
) -> str:
    """The base64 signature of a request without a body; ``params`` are decoded, unsigned.

    ``slash`` is ``plain`` where a ``/`` in a value is signed as it is, not as ``%2F``.
    """
    safe = "/" if slash == "plain" else ""
    query = "&".join(
        f"{quote(name, safe=safe)}={quote(params[name], safe=safe)}" for name in sorted(params)
    )
    text = "\n".join((method, path.rstrip("/") + "/", query, _NO_BODY))
    digest = hmac.digest(secret.encode(), text.encode(), "sha256")
    return base64.b64encode(digest).decode()


def split_query(raw_query: str) -> tuple[dict[str, str], str]:
    """The decoded parameters and the decoded signature of a raw query string.

    Refused with 1200 unless the signature stands last and was encoded twice, no parameter
    comes twice and no blank travels as ``+``.
    """
    params: dict[str, str] = {}
    *pairs, last = raw_query.split("&")
    name, _, sent = last.partition("=")
    if name != "signature":
        raise RefusalError(1200, "AuthFailure, the signature is not the last parameter")
    once = unquote(sent)
    if any(letter in once for letter in "+/="):
        raise RefusalError(1200, "AuthFailure, the signature was not encoded twice")
    for pair in pairs:
        raw_name, equals, raw_value = pair.partition("=")
        if not equals or "+" in pair:
            raise RefusalError(1200, "AuthFailure, a parameter is not encoded as it should be")
        name = unquote(raw_name)
        if name in params or name == "signature":
            raise RefusalError(1200, "AuthFailure, a parameter comes twice")
        params[name] = unquote(raw_value)
    return params, unquote(once)


def matches(expected: str, given: str) -> bool:
    """Whether two signatures are the same."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))
