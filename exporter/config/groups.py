"""The file with the group of each user, as CSV or YAML.

user,group          CSV: the first line may say what the columns are; # begins a comment
li,chemistry
bio-.*,biology      a pattern, as it holds one of * + ? ( ) [ ] { } | ^ $; it must match as a whole

li: chemistry       YAML, in a file that ends in .yaml or .yml
bio-.*: biology
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from exporter.config import checks
from exporter.errors import ConfigError, ConfigProblem
from exporter.files import read_file
from exporter.labels import Groups
from exporter.yaml_tree import LARGEST_BYTES, NO_TAGS, compose, is_tagged, line_of

KEY = "labels.user.groups_file"
_HEADER = ["user", "group"]
_MOST_TOLD = 10
"""Lines that are told of: with a wrong separator, all are wrong, and the log has them in one line."""
_PATTERN = re.compile(r"[*+?()\[\]{}|^$]")

_Entry = tuple[int, str, str]
"""A line's number, a user or a pattern, a group."""


def read_groups(path: Path) -> Groups:
    """Read the whole file. Raises ``ConfigError`` with its first problems, and how many there are."""
    try:
        data = read_file(path, LARGEST_BYTES)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([_problem(path, f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([_problem(path, "is not UTF-8 text")]) from error
    if len(data) > LARGEST_BYTES:
        raise ConfigError([_problem(path, "is too large")])
    faults: list[tuple[int, str]] = []
    entries = (_of_yaml if path.suffix in (".yaml", ".yml") else _of_csv)(text, faults)
    groups = _groups(entries, faults)
    if faults:
        told = [f"line {line}: {fault}" for line, fault in sorted(faults)]
        more = len(told) - _MOST_TOLD
        if more > 1:
            told[_MOST_TOLD:] = [f"and {more} more lines"]
        raise ConfigError([_problem(path, each) for each in told])
    return groups


def _problem(path: Path, message: str) -> ConfigProblem:
    return ConfigProblem(KEY, f"{path.name}: {message}")


def _of_csv(text: str, faults: list[tuple[int, str]]) -> Iterator[_Entry]:
    begun = False
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            row = [field.strip() for field in next(csv.reader([line], strict=True))]
        except csv.Error:
            faults.append((number, "is not CSV"))
            continue
        names, begun = [] if begun else [name.lower() for name in row], True
        if names == _HEADER:
            continue
        if names == _HEADER[::-1]:
            faults.append((number, "the user must come first, and then the group"))
            return
        if len(row) != len(_HEADER):
            faults.append((number, "must have a user and a group, with a comma between them"))
            continue
        yield number, row[0], row[1]


def _of_yaml(text: str, faults: list[tuple[int, str]]) -> Iterator[_Entry]:
    root = compose(text)
    if isinstance(root, ConfigProblem):
        faults.append((root.line or 1, root.message))
    elif root is not None and not isinstance(root, yaml.MappingNode):
        faults.append((line_of(root), "must be a mapping of users to groups"))
    elif root is not None:
        for key, value in root.value:
            if is_tagged(key) or is_tagged(value):
                faults.append((line_of(key), NO_TAGS))
            elif isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode):
                yield line_of(key), str(key.value), str(value.value)
            else:
                faults.append((line_of(key), "must have a user and a group"))


def _groups(entries: Iterator[_Entry], faults: list[tuple[int, str]]) -> Groups:
    names: dict[str, str] = {}
    patterns: list[tuple[re.Pattern[str], str]] = []
    first: dict[str, int] = {}
    for line, user, group in entries:
        if not user or not group:
            faults.append((line, f"the {'group' if user else 'user'} is empty"))
        elif user in first:
            faults.append((line, f"the same user or pattern as on line {first[user]}"))
        else:
            names[user] = group  # also a pattern: it may be somebody's name
            if _PATTERN.search(user):
                try:
                    patterns.append((checks.pattern(user), group))
                except ValueError as error:
                    faults.append((line, f"the user {error}"))
        first.setdefault(user, line)
    return Groups(names, tuple(patterns))
