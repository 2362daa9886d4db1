"""One record is one line, in either format, without a secret, and not to be forged."""

import io
import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.logs import LineFormatter, is_journal, set_up_logging
from exporter.redaction import Redactor

SECRET = "sEcr3t/with+signs=="  # a fake


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    before = (root.level, root.handlers[:], sys.excepthook, threading.excepthook)
    yield
    logging.captureWarnings(capture=False)
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    sys.excepthook, threading.excepthook = before[2:]
    for name in ("urllib3", "requests", "uvicorn", "uvicorn.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def set_up(form: Literal["logfmt", "json"] = "logfmt", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    set_up_logging(level, form, Redactor([SECRET]), stream)
    return stream


def line_of(form: Literal["logfmt", "json"] = "logfmt", /, **record: object) -> str:
    whole = {"name": "exporter.sync", "levelno": 20, "created": 1700000000.25, **record}
    return LineFormatter(form, Redactor([SECRET])).format(logging.makeLogRecord(whole))


def test_logfmt() -> None:
    line = line_of(msg="cluster is %s", args=("back",), cluster="cfd", queue='a "b"', calls=3,
                   took_seconds=0.123456789, ok=True, last=None, empty="")  # fmt: skip
    assert line == (
        'ts=2023-11-14T22:13:20.250Z level=info msg="cluster is back" cluster=cfd '
        'queue="a \\"b\\"" calls=3 took_seconds=0.123457 ok=true last=null empty=""'
    )


@pytest.mark.parametrize(
    ("level", "start"),
    [(10, "<7>level=debug"), (20, "<6>level=info"), (30, "<4>level=warn"), (50, "<3>level=error")],
)
def test_the_journal_gets_priorities_and_has_times_of_its_own(level: int, start: str) -> None:
    record = logging.makeLogRecord({"name": "exporter.x", "levelno": level, "msg": "a\nb"})
    assert LineFormatter("logfmt", Redactor(), journal=True).format(record) == (
        f'{start} msg="a\\nb"'
    )
    line = LineFormatter("json", Redactor(), journal=True).format(record)
    assert line[:3] == start[:3]
    assert {"ts", "level", "msg"} == set(json.loads(line[3:]))


def test_only_the_journal_itself_is_taken_for_it(tmp_path: Path) -> None:
    """Whoever starts us may have standard error in the journal when ours is a file."""
    with (tmp_path / "ours").open("w") as ours, (tmp_path / "theirs").open("w") as theirs:
        status = os.fstat(ours.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert is_journal(ours, environ)
        assert not is_journal(theirs, environ)
        assert not is_journal(ours, {})
        assert not is_journal(ours, {"JOURNAL_STREAM": "nonsense"})
    assert not is_journal(io.StringIO(), environ)
    assert not is_journal(ours, environ)  # closed


def test_set_up_looks_where_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    with path.open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        set_up_logging("info", "logfmt", Redactor(), stream)
        logging.getLogger("exporter.x").warning("careful")
    assert path.read_text() == "<4>level=warn msg=careful\n"


def test_json() -> None:
    line = line_of("json", msg="back", levelno=30, cluster="默认", calls=3)
    assert json.loads(line) == {
        "ts": "2023-11-14T22:13:20.250Z",
        "level": "warn",
        "msg": "back",
        "cluster": "默认",
        "calls": 3,
    }
    assert "默认" in line


def test_other_loggers_are_named() -> None:
    assert line_of(name="uvicorn.error", msg="x").endswith("msg=x logger=uvicorn.error")


@pytest.mark.parametrize("form", ["logfmt", "json"])
@given(text=st.text())
def test_one_record_is_one_line(form: Literal["logfmt", "json"], text: str) -> None:
    line = line_of(form, msg=text, cluster=text)
    assert len(line.splitlines()) == 1
    assert line.isprintable()


def test_a_line_cannot_be_forged() -> None:
    line = line_of(msg="x\nts=1 level=info", cluster='a" level=error msg="\x1b[31m\u2028')
    assert 'msg="x\\nts=1 level=info"' in line
    assert 'cluster="a\\" level=error msg=\\"\\u001b[31m\\u2028"' in line


@pytest.mark.parametrize("form", ["logfmt", "json"])
@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"key {SECRET} refused",
        "sEcr3t%2Fwith%2Bsigns%3D%3D",
        "sEcr3t%252Fwith%252Bsigns%253D%253D",
        f"'{SECRET}'",
    ],
)
def test_known_secrets_are_taken_out(form: Literal["logfmt", "json"], text: str) -> None:
    def fail() -> None:
        raise ValueError(text)

    try:
        fail()
    except ValueError as error:
        line = line_of(form, msg=f"{text} %s", args=(text,), field=text, any=ValueError(text),
                       exc_info=(ValueError, error, error.__traceback__))  # fmt: skip
    assert "sEcr3t" not in line
    assert line.count("***") >= 5


def test_levels_and_the_loud_libraries() -> None:
    stream = set_up()
    logging.getLogger("exporter.x").debug("no")
    logging.getLogger("exporter.x").info("yes")
    logging.getLogger("urllib3.connectionpool").info("no: %s", "/api?signature=1")
    logging.getLogger("uvicorn.access").info("no")
    logging.getLogger("uvicorn.error").info("no")
    logging.getLogger("uvicorn.error").warning("loud")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", UserWarning, stacklevel=1)
    lines = stream.getvalue().splitlines()
    assert [line.split(" ")[2] for line in lines[:2]] == ["msg=yes", "msg=loud"]
    assert "UserWarning: old" in lines[2]


def test_urllib3_stays_silent_when_all_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # A server that another test has run in this process has silenced its access log for good.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
    stream = set_up(level="debug")
    logging.getLogger("urllib3.connectionpool").debug("GET /api/job/list?zone=a")
    logging.getLogger("exporter.x").debug("yes")
    logging.getLogger("uvicorn.access").info("asked for")
    assert "urllib3" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2


def test_what_nobody_caught_is_logged_cleanly() -> None:
    stream = set_up("json")

    def fail() -> None:
        raise ValueError(f"with {SECRET}\nin it")

    thread = threading.Thread(target=fail, name="poller-cfd")
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    ours, main = (json.loads(line) for line in stream.getvalue().splitlines())
    assert ours["thread_name"] == "poller-cfd"
    assert main["error"] == ours["error"] == "ValueError: with ***\nin it"
    assert "in fail" in ours["stack"]
    assert SECRET not in stream.getvalue()


def test_a_wrong_line_costs_no_line_and_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = set_up()
    logger = logging.getLogger("exporter.x")
    logger.info("%d of %s", "a", SECRET)
    assert 'msg="%d of %s"' in stream.getvalue()
    stream.close()
    logger.info(SECRET)
    assert capsys.readouterr().err == ""


class TestManyClusters:
    def note(self, number: int, *, at: float = 0.0, **record: object) -> None:
        whole = {"name": "exporter", "levelno": 30, "msg": "it failed", "created": at, **record}
        logging.getLogger().handle(logging.makeLogRecord({**whole, "cluster": f"c{number}"}))

    def test_have_few_lines_about_the_same(self) -> None:
        """All clusters of an account fail with its keys: three hundred lines an hour."""
        stream = set_up()
        for number in range(300):
            self.note(number, at=float(number))
        lines = stream.getvalue().splitlines()
        assert [f" cluster=c{number}" in line for number, line in enumerate(lines)] == [True] * 20
        assert [number for number, line in enumerate(lines) if "more_clusters=" in line] == [19]
        self.note(3, at=400.0)
        self.note(30, at=400.0, msg="it is well again")
        self.note(30, at=400.0, reason="denied")
        self.note(30, at=3599.0)
        self.note(30, at=3600.0)
        more = [line.split(" msg=")[1] for line in stream.getvalue().splitlines()[20:]]
        assert more == [
            '"it failed" cluster=c3',
            '"it is well again" cluster=c30',
            '"it failed" reason=denied cluster=c30',
            '"it failed" cluster=c30',
        ]

    def test_whose_reasons_are_sentences_have_few_lines_as_well(self) -> None:
        stream = set_up()
        for number in range(300):
            self.note(number, reason=f"c{number}.ledger cannot be written")
        assert len(stream.getvalue().splitlines()) == 20

    def test_are_all_there_for_who_asks_for_everything(self) -> None:
        stream = set_up(level="debug")
        for number in range(300):
            self.note(number)
        assert len(stream.getvalue().splitlines()) == 300
