"""Signing, against the known answers of the API reference, section 2."""

from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.signature import sign, signed_query

SECRET = "SECRETACCESSKEY"
COMMON = {
    "access_key_id": "QYACCESSKEYIDEXAMPLE",
    "signature_method": "HmacSHA256",
    "signature_version": "1",
    "timestamp": "2021-08-19T16:44:40Z",
    "version": "1",
    "zone": "jinan1a",
}
KNOWN_ANSWERS = [
    pytest.param(
        "/api/cluster/list", {}, "fuaaMdgEpq315d6SJPwhiaw3XantkrjQW4gQOg2FNkI=", id="common"
    ),
    pytest.param(
        "/api/job/list",
        {"cluster_id": "ehpc-qmmvigwe"},
        "Qbw6jDkAysC00pCXIljQnh7Hpj9/23AK+oFxsp4KJIQ=",
        id="cluster",
    ),
    pytest.param(
        "/api/job/list",
        {
            "cluster_id": "ehpc-qmmvigwe",
            "jobs_status": "pending",
            "limit": "100",
            "offset": "200",
            "queue_name": "默认 队列",
        },
        "KX3BX/9ap1SIW1UKAXrvxW5oaigx2bZoQ+kCTQYYMXw=",
        id="chinese queue",
    ),
]


@pytest.mark.parametrize(("path", "params", "signature"), KNOWN_ANSWERS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_known_answers(path: str, params: dict[str, str], signature: str, slash: str) -> None:
    assert sign("GET", path + slash, COMMON | params, SECRET) == signature


def test_order_of_parameters_does_not_matter() -> None:
    backwards = dict(reversed(COMMON.items()))
    assert sign("GET", "/api/cluster/list", backwards, SECRET) == (
        "fuaaMdgEpq315d6SJPwhiaw3XantkrjQW4gQOg2FNkI="
    )


@pytest.mark.parametrize(
    ("method", "path", "params", "secret"),
    [
        ("POST", "/api/job/list", COMMON, SECRET),
        ("GET", "/api/job/list2", COMMON, SECRET),
        ("GET", "/api/job/list", COMMON | {"zone": "jinan1b"}, SECRET),
        ("GET", "/api/job/list", COMMON, SECRET + "x"),
    ],
)
def test_everything_is_signed(method: str, path: str, params: dict[str, str], secret: str) -> None:
    assert sign(method, path, params, secret) != sign("GET", "/api/job/list", COMMON, SECRET)


def test_query_has_the_signature_last_and_encoded_twice() -> None:
    params: Any = KNOWN_ANSWERS[2].values[1]
    query = signed_query("GET", "/api/job/list", COMMON | params, SECRET)
    assert query == (
        "access_key_id=QYACCESSKEYIDEXAMPLE&cluster_id=ehpc-qmmvigwe&jobs_status=pending"
        "&limit=100&offset=200&queue_name=%E9%BB%98%E8%AE%A4%20%E9%98%9F%E5%88%97"
        "&signature_method=HmacSHA256&signature_version=1&timestamp=2021-08-19T16%3A44%3A40Z"
        "&version=1&zone=jinan1a"
        "&signature=KX3BX%252F9ap1SIW1UKAXrvxW5oaigx2bZoQ%252BkCTQYYMXw%253D"
    )


def test_a_slash_in_a_value_is_signed_and_sent_in_either_way() -> None:
    params = COMMON | {"zone": "jn1/a"}
    encoded = signed_query("GET", "/api/job/list", params, SECRET)
    plain = signed_query("GET", "/api/job/list", params, SECRET, plain_slash=True)
    assert "&zone=jn1%2Fa&signature=" in encoded
    assert "&zone=jn1/a&signature=" in plain
    assert encoded.rpartition("=")[2] != plain.rpartition("=")[2]
    assert "/" not in plain.rpartition("=")[2]


@pytest.mark.parametrize(("path", "params", "signature"), KNOWN_ANSWERS)
def test_without_a_slash_in_a_value_both_ways_are_one(
    path: str, params: dict[str, str], signature: str
) -> None:
    assert sign("GET", path, COMMON | params, SECRET, plain_slash=True) == signature


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1), st.text())
def test_any_text_comes_back(params: dict[str, str], secret: str) -> None:
    params.pop("signature", None)
    query = signed_query("GET", "/api/job/list", params, secret)
    assert query.isascii()
    assert "+" not in query
    *pairs, (name, signature) = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    assert dict(pairs) == params
    assert (name, unquote(signature)) == (
        "signature",
        sign("GET", "/api/job/list", params, secret),
    )


def test_keys_that_are_no_utf8_can_be_signed() -> None:
    from_environment = b"\xff\xfekey".decode("utf-8", "surrogateescape")
    assert signed_query("GET", "/", {"access_key_id": from_environment}, from_environment)
