"""The file of users' groups: what it says, and every line that is wrong in it."""

from pathlib import Path

import pytest

from exporter.config import read_groups
from exporter.config.checks import pattern
from exporter.errors import ConfigError
from exporter.labels import NO_GROUP

CSV = (
    'user,group\nli,chemistry\n# guests\n\nbio-.*, biology\n"o\'b,rien","a, b"\nbio-1,physics\n'
    "a.b,dot\nLAB\\sun,lab\na+b (c),odd\n"
)
YAML = (
    'li: chemistry\nbio-.*: biology\n"o\'b,rien": a, b\nbio-1: physics\na.b: dot\n'
    "LAB\\sun: lab\na+b (c): odd\n"
)
GROUPS = {
    "li": "chemistry", "bio-2": "biology", "bio-1": "physics", "o'b,rien": "a, b", "a.b": "dot",
    "LAB\\sun": "lab", "a+b (c)": "odd", "aab c": "odd",
    "axb": NO_GROUP, "xbio-2": NO_GROUP, "Li": NO_GROUP, "user": NO_GROUP,
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [("g.csv", CSV), ("g.yaml", YAML), ("g.yml", YAML)])
def test_a_name_goes_before_patterns_which_match_as_a_whole(
    tmp_path: Path, name: str, text: str
) -> None:
    path = tmp_path / name
    path.write_text("\ufeff" + text, encoding="utf-8")
    groups = read_groups(path)
    assert {user: groups.of(user) for user in GROUPS} == GROUPS


def test_the_first_pattern_that_matches_counts(tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text("b.+,one\nb.*,two\n")
    assert [read_groups(path).of(user) for user in ("bc", "b")] == ["one", "two"]


@pytest.mark.parametrize("first", ["user,group\n", "# ours\n\nUser, Group\n"])
def test_a_line_that_says_what_the_columns_are_is_no_user(tmp_path: Path, first: str) -> None:
    path = tmp_path / "g.csv"
    path.write_text(f"{first}user,people\n")
    assert read_groups(path).of("user") == "people"
    assert read_groups(path).of("User") == NO_GROUP


@pytest.mark.parametrize("name", ["g.csv", "g.yaml"])
def test_an_empty_one_has_no_groups(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    assert read_groups(tmp_path / name).of("li") == NO_GROUP


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "g.csv", b"li,a\nli,b\nwang\nliu,\n,x\n(,x\na,b,c\n\"a,b\n",
            [
                "line 2: the same user or pattern as on line 1",
                "line 3: must have a user and a group, with a comma between them",
                "line 4: the group is empty",
                "line 5: the user is empty",
                "line 6: the user is not a pattern: missing ), unterminated subpattern at position 0",
                "line 7: must have a user and a group, with a comma between them",
                "line 8: is not CSV",
            ],
        ),
        ("g.csv", b"# ours\nGroup, user\na,li\na,wang\n",
         ["line 2: the user must come first, and then the group"]),
        ("g.yaml", b"li: a\nwang: [b]\nli: c\n",
         ["line 2: must have a user and a group", "line 3: the same user or pattern as on line 1"]),
        ("g.yaml", b"li: !a b\n!a wang: b\n",
         ["line 1: has a tag that means nothing here", "line 2: has a tag that means nothing here"]),
        ("g.yaml", b"- li\n", ["line 1: must be a mapping of users to groups"]),
        ("g.yaml", b"li: [\n", ["line 2: not YAML: expected the node content, but found '<stream end>'"]),
        ("g.csv", b"\xff,a\n", ["is not UTF-8 text"]),
        ("none.csv", None, ["cannot be read: No such file or directory"]),
    ],
)  # fmt: skip
def test_each_line_that_is_wrong_is_told(
    tmp_path: Path, name: str, content: bytes | None, said: list[str]
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_groups(path)
    lines = str(caught.value).splitlines()
    assert lines == [f"labels.user.groups_file: {name}: {line}" for line in said]


@pytest.mark.parametrize(
    ("lines", "told", "more"), [(11, 11, []), (5000, 10, ["and 4990 more lines"])]
)
def test_a_wrong_separator_is_told_a_few_times(
    tmp_path: Path, lines: int, told: int, more: list[str]
) -> None:
    path = tmp_path / "g.csv"
    path.write_text("".join(f"user{number};group\n" for number in range(lines)))
    with pytest.raises(ConfigError) as caught:
        read_groups(path)
    wrong = "must have a user and a group, with a comma between them"
    assert [problem.message for problem in caught.value.problems] == [
        f"g.csv: {each}"
        for each in (*(f"line {number}: {wrong}" for number in range(1, told + 1)), *more)
    ]


@pytest.mark.parametrize("text", ["(", "a{99999999999}", "(" * 5000 + ")" * 5000])
def test_a_pattern_that_cannot_be_one_is_told_of(text: str) -> None:
    with pytest.raises(ValueError, match="is not a pattern"):
        pattern(text)
