"""What an error code means."""

import pytest

from exporter.api.refusal import REASONS, http_error, refusal_of


@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [
        (1100, "request", False),
        (1101, "request", False),
        (1200, "authentication", False),
        (1300, "clock", False),
        (1400, "denied", False),
        (2100, "not_found", False),
        (2500, "quota", False),
        (5000, "internal", True),
        (5100, "busy", True),
        (5300, "updating", True),
        (1999, "client", False),
        (2000, "resource", False),
        (4001, "licence", False),
        (5999, "server", True),
        (8000, "configuration", False),
        (1, "refused", False),
        (999, "refused", False),
        (3000, "refused", False),
        (-1, "refused", False),
        (-5000, "refused", False),
        (50000, "refused", False),
    ],
)
def test_codes(code: int, reason: str, retryable: bool) -> None:
    kind = refusal_of(code)
    assert (kind.reason, kind.retryable) == (reason, retryable)
    assert kind.reason in REASONS
    assert kind.advice.endswith(".")


def test_advice_tells_refusals_apart() -> None:
    advices = {refusal_of(code).advice for code in (1100, 1200, 1300, 1400, 2500, 4000, 5000)}
    assert len(advices) == 7


def test_a_server_that_takes_no_get_is_told_apart_from_a_wrong_address() -> None:
    error = http_error(405)
    assert error.reason == "http_4xx"
    assert "GET" in error.advice
    assert "GET" not in http_error(404).advice
