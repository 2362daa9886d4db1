"""Nothing that the program may say to people is missing in either language."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.api.fleet import _CHECK_OWNER, _TELL_OWNER
from exporter.api.refusal import refusal_of
from exporter.api.transport import _ADVICE
from exporter.profile import TRAITS
from exporter.texts import LANGUAGES, TEXTS, Language, Words, language_of
from exporter.texts.collect import COLLECT
from exporter.texts.demo import DEMO
from exporter.texts.doctor import DOCTOR
from exporter.texts.failures import ADVICE
from exporter.texts.page import PAGE
from exporter.texts.servers import EVIDENCE, SERVERS, difference
from exporter.web.summary import Health

HOUSE = Path(__file__).resolve().parents[2] / "exporter"
SOURCES = {path: path.read_text("utf-8") for path in HOUSE.rglob("*.py")}
SPEAKERS = [HOUSE / "web/page.py", *(HOUSE / "cli").rglob("*.py"), HOUSE / "texts/__init__.py"]
SPOKEN = "".join(SOURCES[path] for path in SPEAKERS)
SPOKEN += "".join(path.read_text("utf-8") for path in (HOUSE / "web/templates").glob("*.html"))
CHINESE = re.compile("[\u4e00-\u9fff]")
ALIKE = {
    "value.status_filter.jobs_status", "value.status_filter.job_status", "type.null", "page.lang",
    "trait.total_count", "value.zone", "value.zone.utc", "of", "failed", "page.history_of", "page.of",
    "page.operations", "page.about",
}  # fmt: skip


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", TEXTS)
def test_each_text_is_there_in_both_languages(key: str) -> None:
    english, chinese = TEXTS[key]
    assert english.strip() and chinese.strip()  # noqa: PT018
    assert blanks(english) == blanks(chinese)
    assert not CHINESE.search(english)
    assert CHINESE.search(chinese) or key in ALIKE


def test_no_key_is_given_twice() -> None:
    assert len(TEXTS) == sum(map(len, (PAGE, SERVERS, DOCTOR, COLLECT, DEMO)))


@pytest.mark.parametrize("pattern", EVIDENCE)
def test_each_evidence_has_its_chinese(pattern: str) -> None:
    chinese = EVIDENCE[pattern]
    assert CHINESE.search(chinese)
    assert chinese.count("{}") == re.compile(pattern).groups


def test_each_evidence_that_is_written_down_has_its_chinese() -> None:
    """Of those without parts, by the way in which they are written."""
    written = re.findall(r'evidence="([^"]+)"', "".join(SOURCES.values()))
    written += re.findall(r'[Cc]ontradict(?:ion)?\("\w+", "([^"]+)"\)', "".join(SOURCES.values()))
    assert len(written) > 7
    assert not [text for text in written if not CHINESE.search(Words("zh").evidence(text) or "")]


def advice_in(source: str) -> Iterator[str]:
    """What failures are given as advice; ``{}`` where something is filled in."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.keyword(arg="advice", value=value):
                yield from texts_of(value)
            case ast.Assign(targets=[ast.Name(id="advice"), *_], value=value):
                yield from texts_of(value)
            case ast.Call(func=ast.Name(id="SyncFailure"), args=[_, _, value, *_]):
                yield from texts_of(value)
            case ast.Call(func=ast.Name(id="Failure"), args=[_, _, _, value]):
                yield from texts_of(value)


def texts_of(value: ast.expr) -> Iterator[str]:
    match value:
        case ast.Constant(value=str(text)) if text:
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts
            )


FAILING = ("api", "errors.py", "sync", "daemon/once.py", "daemon/looking.py", "daemon/doctor.py")
FILLED = {
    "{} It is {}.": "Set this machine's clock, for instance with chrony or ntpd. It is 75 s behind"
    " the server's.",
    "Query fewer clusters with --cluster, {}or raise quota.share. The daemon can read a list of any"
    " length, with the calls that it has left over.": "Query fewer clusters with --cluster, wait up"
    " to 1h, or raise quota.share. The daemon can read a list of any length, with the calls that it has"
    " left over.",
}  # fmt: skip


def test_each_advice_has_its_chinese() -> None:
    written = {
        advice
        for path, source in SOURCES.items()
        if path.relative_to(HOUSE).as_posix().startswith(FAILING)
        for advice in advice_in(source)
    }
    refusals = {refusal_of(code).advice for code in range(1000, 9000)}
    assert len(refusals) > 5
    assert len(written) > 15
    for advice in written | refusals | {*_ADVICE.values(), _CHECK_OWNER, _TELL_OWNER}:
        said = FILLED.get(advice, advice.replace("{}", "1h"))
        told = Words("zh").advice(said)
        assert CHINESE.search(told), advice
        assert "{" not in told
        assert Words("en").advice(said) == said


def test_no_advice_is_left_over_or_cut() -> None:
    for english, chinese in ADVICE.items():
        assert english.count("{}") == chinese.count("{}")
    behind = "Set this machine's clock, for instance with chrony or ntpd. It is 75 s behind the server's."
    assert "慢 75 秒" in Words("zh").advice(behind)
    assert Words("zh").advice("what nobody knows") == "what nobody knows"


def test_each_difference_has_its_words_and_what_to_do() -> None:
    differing = SOURCES[HOUSE / "daemon/differences.py"]
    keys = set(re.findall(r'Difference\("(\w+)"', differing))
    keys |= set(re.findall(r'^        "(\w+)": ', differing, re.MULTILINE))
    keys |= {"clock_ahead", "clock_behind", "trait_unknown"}
    for trait, value in (
        *(("status_filter", value) for value in ("job_status", "none")),
        *(("order", value) for value in ("change_only", "submission", "default", "none", "unknown")),
        ("total_count", "cluster"), ("total_count", "none"), ("zone", "contradicted"),
        ("zone", "+08:00"), ("zone", "unknown"), ("depth", "500"), ("lag", "20"), ("page_size", "50"),
        ("counters", "unknown"),
    ):  # fmt: skip
        told = difference(trait, value)
        assert told is not None
        keys.add(told[0])
    assert len(keys) > 25
    for group in ("differs", "do"):
        known = {key.partition(".")[2] for key in TEXTS if key.startswith(f"{group}.")}
        assert known - {"nothing"} == keys


@pytest.mark.parametrize(
    ("trait", "value"),
    [
        ("page_size", "100"),
        ("lag", "0"),
        ("depth", "unlimited"),
        ("zone", "utc"),
        ("order", "change"),
    ],
)
def test_of_what_is_as_documented_nothing_is_said(trait: str, value: str) -> None:
    assert difference(trait, value) is None


def test_each_trait_has_its_title() -> None:
    assert {f"trait.{name}" for name in TRAITS} <= TEXTS.keys()


def test_each_health_has_its_words() -> None:
    said = {key.removeprefix("page.state.") for key in PAGE if key.startswith("page.state.")}
    assert said == {health.value for health in Health}


def test_nothing_is_left_over() -> None:
    groups = ("differs.", "do.", "value.", "trait.", "type.", "strategy.", "keys.", "page.state.",
              "page.strategies.", "page.found.", "capacity.")  # fmt: skip
    named = set(re.findall(r'"([\w.]+)"', SPOKEN)) | set(re.findall(r"\('([\w.]+)'", SPOKEN))
    said = named | {
        f"{group}.{name}" for name in named for group in ("column", "clock", "page", "collect")
    }
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
        ({"LANGUAGE": "zh_CN:zh", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LANGUAGE": "en", "LC_ALL": "zh_CN.UTF-8"}, "en"),
        ({"LANGUAGE": "de:zh_CN:en", "LANG": "de_DE.UTF-8"}, "zh"),
        ({"LANGUAGE": "de", "LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANGUAGE": "", "LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANGUAGE": "zh_CN", "LANG": "C.UTF-8"}, "en"),
        ({"LANGUAGE": "zh_CN", "LC_ALL": "POSIX"}, "en"),
        ({"LANGUAGE": "zh_CN"}, "en"),
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
    assert say.value("zone", "unknown") == "unknown"
    assert say.value("depth", "unknown") == "no limit seen"
    assert say.value("order", "new") == "new"


@pytest.mark.parametrize(
    ("seconds", "english"),
    [
        (-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (61, "1 min 1 s"),
        (599, "9 min 59 s"), (600, "10 min"), (645, "10 min"), (3600, "1 h"),
        (3661, "1 h 1 min"), (86_400, "1 d"), (90_061, "1 d 1 h"), (86_460, "1 d"),
    ],
)  # fmt: skip
def test_durations(seconds: float, english: str) -> None:
    assert Words("en").duration(seconds) == english


@pytest.mark.parametrize(("language", "words"), [("en", "1 h 31 min"), ("zh", "1 小时 31 分钟")])
def test_durations_in_words(language: Language, words: str) -> None:
    assert Words(language).duration(5460) == words
