"""What the error codes of the API (API reference, section 4) and of HTTP mean, and what helps.
Pure."""

from dataclasses import dataclass

from exporter.api.retry import MOST_APART_SECONDS
from exporter.errors import HttpStatusError, RefusedError

REQUEST_CODE = 1100
"""The request is malformed; stands for a problem document, too, which has no code."""
CLOCK_CODE = 1300
"""The request's timestamp is too far from the server's clock."""
KEYS_CODE = 1200
"""The key id or the signature is wrong."""
INTERNAL_CODE = 5000
"""The server failed at the request; stands for HTTP status 500, too."""
QUOTA_CODE = 2500
"""The account has made too many requests in the period."""
UNKNOWN_METHOD_STATUS = 405
"""HTTP: what is there is not to be had by GET."""
TOO_MANY_STATUS = 429
"""HTTP: too many requests at once, says the server, or a gateway in front of it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of refusal. ``reason`` is a label value in the metrics."""

    reason: str
    meaning: str
    advice: str
    retryable: bool = False
    """Whether trying again within seconds can help."""


_CHECK_RESOURCE = (
    "Check the cluster's cluster_id and zone, and that the account's keys belong to its owner."
)
_WAIT = "The cloud is expected to recover by itself; if it goes on for hours, ask its support."
_REPORT = "The server does not understand this program's request: please report it as a bug."

_BY_CODE = {
    REQUEST_CODE: Refusal("request", "malformed request", _REPORT),
    1101: Refusal("request", "unknown method or value", _REPORT),
    KEYS_CODE: Refusal(
        "authentication",
        "wrong access key or signature",
        "Check the account's access_key_id and secret access key, and that the key is still "
        "enabled in the cloud's console.",
    ),
    CLOCK_CODE: Refusal(
        "clock",
        "request time too far from the server's clock",
        "Set this machine's clock, for instance with chrony or ntpd.",
    ),
    1400: Refusal("denied", "access denied", _CHECK_RESOURCE),
    2100: Refusal("not_found", "no such resource", _CHECK_RESOURCE),
    QUOTA_CODE: Refusal(
        "quota",
        "over the account's request quota",
        "Wait: the exporter pauses its calls. Lower the account's quota.share, lengthen "
        "collection.interval, or find out which other tool uses the account's quota.",
    ),
    INTERNAL_CODE: Refusal("internal", "internal error of the server", _WAIT, retryable=True),
    5100: Refusal("busy", "server busy or timed out", _WAIT, retryable=True),
    5300: Refusal("updating", "server being updated", _WAIT, retryable=True),
}

_BY_THOUSAND = {
    1: Refusal("client", "error in the request", _REPORT),
    2: Refusal("resource", "error with the resource", _CHECK_RESOURCE),
    4: Refusal("licence", "licence error", "Ask the cloud's administrator about its licence."),
    5: Refusal("server", "error of the server", _WAIT, retryable=True),
    8: Refusal(
        "configuration",
        "error in the cloud's configuration",
        "Show the code to the cloud's administrator.",
    ),
}

_OTHER = Refusal(
    "refused", "unknown error code", "Look the code up in the cloud's API documentation."
)


def refusal_of(ret_code: int) -> Refusal:
    """What a ``ret_code`` other than 0 means; codes that are not documented go by their range."""
    return _BY_CODE.get(ret_code) or _BY_THOUSAND.get(ret_code // 1000, _OTHER)


REASONS = tuple(
    dict.fromkeys(kind.reason for kind in (*_BY_CODE.values(), *_BY_THOUSAND.values(), _OTHER))
)
"""Every ``reason`` that there is."""


def http_error(status: int, *, retry_after_seconds: float = 0.0) -> HttpStatusError | RefusedError:
    """What an HTTP status other than 200 means; ``retry_after_seconds`` is what the server asks to wait."""
    message = f"the server answered with HTTP status {status}"
    if status == 500:  # it failed at what this request asks for, perhaps, as with a code
        known = _BY_CODE[INTERNAL_CODE]
        return RefusedError(
            INTERNAL_CODE, known.reason, message, retryable=known.retryable, advice=known.advice
        )
    kind = status // 100
    retryable = kind == 5
    if status == TOO_MANY_STATUS:
        reason = "http_429"
        advice = "Calls are sent further apart now; if it lasts, lengthen collection.interval."
        retryable = retry_after_seconds <= MOST_APART_SECONDS
    elif status == UNKNOWN_METHOD_STATUS:
        reason = "http_4xx"
        advice = (
            "This program only sends GET requests: check that the account's endpoint is the API's address,"
            " and that no gateway in front of it refuses them."
        )
    elif kind == 4:
        reason = "http_4xx"
        advice = "Check that the account's endpoint is the API's address."
    elif kind == 5:
        reason = "http_5xx"
        advice = (
            "The cloud, or a gateway in front of it, has a problem; it should recover by itself."
        )
    else:
        reason, advice = "http_other", "Check that the account's endpoint is the API's address."
    return HttpStatusError(
        status,
        reason,
        message,
        retryable=retryable,
        advice=advice,
        retry_after_seconds=retry_after_seconds,
    )
