"""The groups of users follow their file, and a bad one changes nothing."""

import logging
import os
from pathlib import Path

import pytest

from exporter.config import read_groups
from exporter.daemon.groups import GroupsFile


def write(path: Path, text: str) -> None:
    """As editors do, and a mounted ConfigMap: another file takes its place."""
    new = path.with_name("new")
    new.write_text(text)
    os.replace(new, path)


def test_it_is_read_again_when_it_changes_and_kept_while_it_is_bad(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "groups.csv"
    write(path, "li,a\n")
    file = GroupsFile(path, read_groups(path))
    assert (file.current().of("li"), file.good, caplog.messages) == ("a", True, [])
    write(path, "li,b\n")
    assert file.current().of("li") == "b"
    assert caplog.messages == ["the groups of users were read again"]
    caplog.clear()
    for spoil in (lambda: write(path, "li,b\nwang\n"), path.unlink):
        spoil()
        for _ in range(3):
            assert (file.current().of("li"), file.good) == ("b", False)
    first, *others = caplog.records
    assert "groups.csv: line 2: must have" in first.__dict__["cause"]
    assert not others, "it is said once"
    caplog.clear()
    write(path, "li,c\n")
    assert (file.current().of("li"), file.good) == ("c", True)
    assert caplog.messages == ["the groups of users were read again"]


def test_groups_that_are_as_before_are_good_again_once_the_file_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "groups.csv"
    write(path, "li,a\n")
    file = GroupsFile(path, read_groups(path))
    for text, good in (("wang\n", False), ("wang,\n", False), ("li,a\n", True)):
        write(path, text)
        assert file.current().of("li") == "a"
        assert file.good is good
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
