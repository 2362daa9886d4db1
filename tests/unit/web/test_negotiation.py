"""Which representation is given to whom."""

import pytest
from prometheus_client import exposition as theirs

from exporter.web.negotiation import (
    LONGEST,
    Format,
    accepts_gzip,
    choose_format,
    preferred_language,
)

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_53 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1"
    ";q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_5 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
VICTORIA_METRICS = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8"

TABLE = {
    "": TEXT,
    "*/*": TEXT,
    "text/plain": TEXT,
    "text/*": TEXT,
    "text/plain;version=0.0.4": TEXT,
    "text/html": TEXT,
    "nonsense": TEXT,
    ";;;,,,=": TEXT,
    BROWSER: TEXT,
    VICTORIA_METRICS: TEXT,
    PROMETHEUS_2_42: f"{OPENMETRICS}; escaping=underscores",
    PROMETHEUS_2_53: f"{OPENMETRICS}; escaping=underscores",
    PROMETHEUS_3_5: f"{OPENMETRICS}; escaping=allow-utf-8",
    "application/openmetrics-text": OPENMETRICS,
    "Application/OpenMetrics-Text ; Version=1.0.0": f"{OPENMETRICS}; escaping=underscores",
    'application/openmetrics-text; version="1.0.0"': f"{OPENMETRICS}; escaping=underscores",
    "application/openmetrics-text;version=1.0.0;escaping=values": f"{OPENMETRICS}; escaping=values",
    "application/openmetrics-text;version=1.0.0;escaping=odd": f"{OPENMETRICS}; escaping=underscores",
    "text/plain;version=1.0.0;escaping=dots": f"{TEXT_1}; escaping=dots",
    "text/plain;version=1.0.0": f"{TEXT_1}; escaping=underscores",
    "application/openmetrics-text;version=0.0.1": TEXT,
    "application/openmetrics-text;version=2.0.0": TEXT,
    "application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0;q=0.5": (
        f"{OPENMETRICS}; escaping=underscores"
    ),
    "application/openmetrics-text;version=1.0.0;q=0": TEXT,
    "application/openmetrics-text;version=1.0.0;q=0.1,text/plain;q=0.9": TEXT,
    "text/plain;q=0.1,application/openmetrics-text;version=1.0.0;q=0.9": (
        f"{OPENMETRICS}; escaping=underscores"
    ),
    "text/plain,application/openmetrics-text": TEXT,
    "application/openmetrics-text,text/plain": OPENMETRICS,
    "application/openmetrics-text;q=oops": TEXT,
    "application/openmetrics-text;q=nan": TEXT,
    "application/openmetrics-text;q=7": TEXT,
}


@pytest.mark.parametrize(("accept", "content_type"), TABLE.items())
def test_format(accept: str, content_type: str) -> None:
    choice = choose_format(accept)
    assert choice.content_type == content_type
    is_openmetrics = content_type.startswith("application/openmetrics-text")
    assert choice.format is (Format.OPENMETRICS if is_openmetrics else Format.TEXT)


@pytest.mark.parametrize(
    "accept",
    [PROMETHEUS_2_42, PROMETHEUS_2_53, PROMETHEUS_3_5, VICTORIA_METRICS, BROWSER, "", "*/*"],
)
def test_real_clients_get_the_format_that_prometheus_client_gives_them(accept: str) -> None:
    _, content_type = theirs.choose_encoder(accept)
    assert choose_format(accept).content_type.split(";")[:2] == content_type.split(";")[:2]


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZip", True),
        ("gzip, deflate, br", True),
        ("deflate;q=1, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("x-gzip", False),
        ("gzip;q=oops", False),
        (",;=,", False),
    ],
)
def test_gzip(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


def test_only_the_beginning_of_a_header_is_looked_at() -> None:
    junk = "," * LONGEST
    assert choose_format(f"application/openmetrics-text,{junk * 16}").format is Format.OPENMETRICS
    assert choose_format(f"{junk}application/openmetrics-text").format is Format.TEXT
    assert accepts_gzip(f"{junk}gzip") is False
    assert preferred_language(f"{junk}zh") is preferred_language("en")
