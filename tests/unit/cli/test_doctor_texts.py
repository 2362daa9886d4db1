"""Nothing that doctor may say is missing in either language."""

import re
import string
from pathlib import Path

import pytest

from exporter.api.client import FAILURE_REASONS
from exporter.cli.doctor.texts import EVIDENCE, LANGUAGES, TEXTS
from exporter.cli.doctor.words import Words, language_of
from exporter.profile import TRAITS

HOUSE = Path(__file__).resolve().parents[3] / "exporter"
SPOKEN = "".join(path.read_text("utf-8") for path in (HOUSE / "cli/doctor").glob("*.py"))
DIFFERENCES = (HOUSE / "daemon/differences.py").read_text("utf-8")
CHINESE = re.compile("[\u4e00-\u9fff]")
ALIKE = {"value.status_filter.jobs_status", "value.status_filter.job_status", "type.null",
         "trait.total_count", "value.zone", "value.zone.utc", "of", "failed"}  # fmt: skip


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", TEXTS)
def test_each_text_is_there_in_both_languages(key: str) -> None:
    english, chinese = TEXTS[key]
    assert english.strip() and chinese.strip()  # noqa: PT018
    assert blanks(english) == blanks(chinese)
    assert not CHINESE.search(english)
    assert CHINESE.search(chinese) or key in ALIKE


@pytest.mark.parametrize("pattern", EVIDENCE)
def test_each_evidence_has_its_chinese(pattern: str) -> None:
    chinese = EVIDENCE[pattern]
    assert CHINESE.search(chinese)
    assert chinese.count("{}") == re.compile(pattern).groups


def test_each_difference_has_its_words_and_what_to_do() -> None:
    keys = set(re.findall(r'Difference\("(\w+)"', DIFFERENCES))
    keys |= set(re.findall(r'^    \("\w+", "\w+"\): "(\w+)"', DIFFERENCES, re.MULTILINE))
    keys |= set(re.findall(r'^        "(\w+)": ', DIFFERENCES, re.MULTILINE))
    keys |= {"clock_ahead", "clock_behind"}
    assert len(keys) > 25
    for group in ("differs", "do"):
        told = {key.partition(".")[2] for key in TEXTS if key.startswith(f"{group}.")}
        assert told - {"nothing"} == keys


def test_each_failure_of_a_call_has_its_help() -> None:
    assert {f"help.{reason}" for reason in FAILURE_REASONS} <= TEXTS.keys()


def test_each_trait_has_its_title() -> None:
    assert {f"trait.{name}" for name in TRAITS} <= TEXTS.keys()


def test_nothing_is_left_over() -> None:
    groups = ("differs.", "do.", "help.", "value.", "trait.", "type.", "strategy.", "keys.")
    named = set(re.findall(r'"([\w.]+)"', SPOKEN.replace(str(TEXTS), "")))
    said = {f"column.{name}" for name in named} | {f"clock.{name}" for name in named} | named
    assert not [key for key in TEXTS if not key.startswith(groups) and key not in said]


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_ALL": "zh_TW", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_ALL": "", "LANG": "zh_CN"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_language_of_the_environment(environ: dict[str, str], language: str) -> None:
    assert language_of(environ) == language


def test_evidence_without_the_servers_own_words() -> None:
    refused = (
        "the server does not do what it did: a request was refused: the API refused the call with"
        " code 1100 (malformed request): no parameter jobs_status for usr-secret"
    )
    told = [Words(language).evidence(refused) for language in LANGUAGES]
    assert told == [
        "a request was refused: the API refused the call with code 1100",
        "请求被拒绝，错误码 1100",
    ]
    assert Words("en").evidence("usr-secret did something") is None


def test_values_that_are_numbers_and_such_that_nobody_knows() -> None:
    say = Words("en")
    assert say.value("page_size", "50") == "50 jobs"
    assert say.value("zone", "+08:00") == "UTC+08:00"
    assert say.value("zone", "unknown") == "not known"
    assert say.value("depth", "unknown") == "no limit was met"
    assert say.value("order", "new") == "new"
    assert say.help("moving") == say("help.other")
