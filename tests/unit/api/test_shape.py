"""Names and types of what comes, and never a value."""

import json
from typing import Any

from exporter.api.shape import Shape, joined, shape_of
from exporter.simulator import CONTENT_MARK, Cloud, parse_dialect

NOW_AT = 1_700_000_000.0


def shape(answer: Any) -> Shape | None:
    return shape_of(answer if isinstance(answer, bytes) else json.dumps(answer).encode())


def jobs(*records: Any) -> dict[str, Any]:
    return {"ret_code": 0, "hpc_job_set": list(records)}


def types_of(value: Any, name: str = "field") -> set[str]:
    found = shape(jobs({name: value}))
    assert found is not None
    return set(found.record[name])


def test_types_are_those_of_json_and_of_the_texts_that_matter() -> None:
    told: dict[str, Any] = {
        "null": None, "boolean": True, "integer": 7, "fraction": 0.5, "list": [1], "object": {},
        "empty text": " ", "number in a text": "16", "text": "4GB",
        "time without a zone": "2021-08-19T14:06:21", "time with a zone": "2021-08-19T14:06:21Z",
    }  # fmt: skip
    for word, value in told.items():
        assert types_of(value) == {word}
    assert types_of("2021-08-19 14:06:21.5+08:00") == {"time with a zone"}
    assert types_of(" Running", "job_status") == {"text in capitals or with blanks"}


def test_a_field_has_all_types_that_were_seen() -> None:
    found = [shape(jobs({"mem_limit": None})), shape(jobs({"mem_limit": "4GB", "x": 1}))]
    whole = joined(each for each in found if each is not None)
    assert whole.record == {"mem_limit": {"null", "text"}, "x": {"integer"}}
    assert whole.answer == {"ret_code": {"integer"}, "hpc_job_set": {"list"}}


def test_statuses_are_words_and_names_are_names() -> None:
    secret = "/home/alice: do not show"
    found = shape(jobs({"job_status": " RUNNING "}, {"job_status": secret, secret: 1}))
    assert found is not None
    assert found.statuses == {"running", "?"}
    assert found.record.keys() == {"job_status", "?"}


def test_what_a_strict_reader_refuses() -> None:
    found = shape(b'{"hpc_job_set": [{"mem_limit": NaN, "job_name": "a\tb"}]}')
    assert found is not None
    assert found.lax
    assert found.record.keys() == {"mem_limit", "job_name"}
    assert not [each for each in (b"", b"<html>", b"[1]", b'{"a": ') if shape(each)]


def test_nothing_of_a_page_is_in_its_shape() -> None:
    cloud = Cloud()
    hosted = cloud.add_cluster("ehpc-1", dialect=parse_dialect("untidy"))
    for number in range(30):
        hosted.jobs.submit(NOW_AT - number, queue="secret-queue", user="secret-user")
    found = shape(cloud.list_jobs("ehpc-1", {"limit": "100"}, NOW_AT))
    assert found is not None
    text = repr(found)
    assert found.statuses == {"pending"}
    assert not [word for word in (CONTENT_MARK, "secret", "hpcjob-", "2023") if word in text]
