"""Walks a tree of nodes along the types of the file: collects the values, and everything that is
wrong."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml
from msgspec import inspect

from exporter.config.checks import suggest
from exporter.config.file import ConfigFile
from exporter.errors import ConfigProblem
from exporter.yaml_tree import MERGE_KEY, NO_MERGE_KEYS, NO_TAGS, is_tagged, line_of, scalar_of

_VARIABLE = re.compile(r"\$(?:(\$)|\{([^{}]*)\}|([A-Za-z_][A-Za-z0-9_]*)|(?=\{))")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USUAL_NAME = re.compile(r"[A-Z][A-Z0-9_]+")
_LONGEST_QUOTE = 60
_INVALID = msgspec.UNSET


@dataclass(slots=True)
class Reading:
    """What came of a file. Values that are wrong or missing are left out of ``values``."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    """By path, as ``clusters[1].zone``."""
    written: dict[str, str] = field(default_factory=dict)
    """By path, a text as the file has it, before variables are filled in: fit to be quoted."""

    def problem(self, path: str, message: str) -> None:
        """Note a fault of the value at ``path``."""
        self.problems.append(ConfigProblem(path, message, self.lines.get(path)))


def read(root: yaml.Node | None, environ: Mapping[str, str]) -> Reading:
    """Walk the whole file. The values are as ``ConfigFile`` has them, not yet its defaults."""
    walk = _Walk(environ)
    if root is None:
        walk.reading.problem("", "the file is empty; config.example.yaml shows all keys")
        return walk.reading
    values = walk.value(root, "", inspect.type_info(ConfigFile), {})
    if values is not _INVALID:
        walk.reading.values = values
    return walk.reading


def quoted(text: str) -> str:
    """One line of at most some sixty characters, whatever the text is."""
    shown = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."
    return json.dumps(shown, ensure_ascii=False)


class _Walk:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self.reading = Reading()
        self._environ = environ

    def value(
        self, node: yaml.Node, path: str, kind: inspect.Type, extra: Mapping[str, Any]
    ) -> Any:
        """The value at ``path``, or ``_INVALID`` after noting why."""
        self.reading.lines.setdefault(path, line_of(node))
        if not isinstance(node, yaml.ScalarNode) and is_tagged(node):
            return self._wrong(path, NO_TAGS)
        match kind:
            case inspect.Metadata():
                return self.value(node, path, kind.type, kind.extra or {})
            case inspect.StructType():
                return self._mapping(node, path, kind)
            case inspect.ListType():
                return self._list(node, path, kind)
            case inspect.DictType():
                return self._by_name(node, path, kind)
        return self._scalar(node, path, kind, extra)

    def _wrong(self, path: str, message: str) -> Any:
        self.reading.problem(path, message)
        return _INVALID

    def _mapping(self, node: yaml.Node, path: str, kind: inspect.StructType) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self._wrong(path, f"must be a mapping, not {_given(node)}")
        values: dict[str, Any] = {}
        fields = {each.encode_name: each for each in kind.fields}
        seen = set()
        for key, key_path, value_node in self._entries(node, path):
            seen.add(key)
            if key not in fields:
                self.reading.problem(key_path, _unknown(key, path, list(fields)))
                continue
            value = self.value(value_node, key_path, fields[key].type, {})
            if value is not _INVALID:
                values[key] = value
        for name, each in fields.items():
            if each.required and name not in seen:
                self.reading.lines[_join(path, name)] = line_of(node)
                self.reading.problem(_join(path, name), "is missing")
        return values

    def _by_name(self, node: yaml.Node, path: str, kind: inspect.DictType) -> Any:
        """A mapping whose keys people choose."""
        if not isinstance(node, yaml.MappingNode):
            return self._wrong(path, f"must be a mapping, not {_given(node)}")
        read = {
            key: self.value(value_node, key_path, kind.value_type, {})
            for key, key_path, value_node in self._entries(node, path)
        }
        return {key: value for key, value in read.items() if value is not _INVALID}

    def _entries(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[str, str, yaml.Node]]:
        """The keys of a mapping, each once, with their paths and values."""
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            key_path = _join(path, key)
            if not isinstance(key_node, yaml.ScalarNode) or not _is_text(key):
                message = "has a key that is not a text"
                self.reading.problems.append(ConfigProblem(path, message, line_of(key_node)))
                continue
            if key in seen:
                self.reading.problems.append(
                    ConfigProblem(
                        key_path,
                        f"is there twice, first on line {seen[key]}",
                        line_of(key_node),
                    )
                )
                continue
            seen[key] = line_of(key_node)
            self.reading.lines[key_path] = line_of(key_node)
            if is_tagged(key_node):
                self.reading.problem(key_path, NO_TAGS)
                continue
            if key == MERGE_KEY:
                self.reading.problem(path, f"{MERGE_KEY} {NO_MERGE_KEYS}")
                continue
            yield key, key_path, value_node

    def _list(self, node: yaml.Node, path: str, kind: inspect.ListType) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            return self._wrong(path, f"must be a list, not {_given(node)}")
        if len(node.value) < (kind.min_length or 0):
            return self._wrong(path, "is empty; at least one is needed")
        return [
            self.value(item, f"{path}[{index}]", kind.item_type, {})
            for index, item in enumerate(node.value)
        ]

    def _scalar(
        self, node: yaml.Node, path: str, kind: inspect.Type, extra: Mapping[str, Any]
    ) -> Any:
        try:
            scalar = scalar_of(node) if isinstance(node, yaml.ScalarNode) else None
        except ValueError as error:
            return self._wrong(path, str(error))
        match kind:
            case inspect.StrType() if isinstance(scalar, str):
                return self._text(scalar, path, kind, extra)
            case inspect.LiteralType() if isinstance(scalar, str):
                text = self._filled(scalar, path)
                if text is _INVALID or text in kind.values:
                    return text
                hint = suggest(text, [str(value) for value in kind.values])
                return self._wrong(path, f"{quoted(scalar)} must be {_wanted(kind)}{hint}")
            case inspect.IntType() | inspect.FloatType() if _is_number(scalar, kind):
                return self._number(scalar, path, kind)
        return self._wrong(path, _unfit(node, kind, extra))

    def _number(self, number: Any, path: str, kind: inspect.IntType | inspect.FloatType) -> Any:
        if kind.ge is not None and not number >= kind.ge:
            return self._wrong(path, f"must be at least {kind.ge:g}, not {number:g}")
        if kind.gt is not None and not number > kind.gt:
            return self._wrong(path, f"must be more than {kind.gt:g}, not {number:g}")
        if kind.le is not None and not number <= kind.le:
            return self._wrong(path, f"must be at most {kind.le:g}, not {number:g}")
        return number

    def _text(
        self, written: str, path: str, kind: inspect.StrType, extra: Mapping[str, Any]
    ) -> Any:
        text = self._filled(written, path)
        if text is _INVALID:
            return _INVALID
        self.reading.written[path] = written
        if len(text) < (kind.min_length or 0):
            return self._wrong(path, "is empty")
        if not _is_text(text):
            return self._wrong(path, "holds a character that is no text")
        check: Callable[[str], object] | None = extra.get("check")
        if check is not None:
            try:
                check(text)
            except ValueError as error:
                what = "" if extra.get("hidden") else quoted(written) + " "
                return self._wrong(path, f"{what}{error}")
        return text

    def _filled(self, written: str, path: str) -> Any:
        """The text with its variables filled in; what they bring is not looked at again."""
        faults: list[str] = []

        def fill(match: re.Match[str]) -> str:
            name = match[2]
            if match[1]:
                return "$"
            if bare := match[3]:
                if bare not in self._environ and not _USUAL_NAME.fullmatch(bare):
                    return match[0]
                shown = bare if bare in self._environ else "NAME"  # else it may be part of a secret
                faults.append(f"has $ without braces; write ${{{shown}}}, or $$ for a plain $")
                return ""
            if name is None or not name.strip():
                faults.append("has ${ without a variable's name and }; write $$ for a plain $")
            elif not _VARIABLE_NAME.fullmatch(name):
                faults.append("has more than a variable's name in ${ }; write $$ for a plain $")
            elif name not in self._environ:
                hint = suggest(name, self._environ)
                faults.append(f"the environment variable {name} is not set{hint}")
            else:
                return self._environ[name]
            return ""

        text = _VARIABLE.sub(fill, written)
        for fault in faults:
            self.reading.problem(path, fault)
        return _INVALID if faults else text


def _unfit(node: yaml.Node, kind: inspect.Type, extra: Mapping[str, Any]) -> str:
    """What is to be said of a value of another type; a check of texts may know what to write."""
    if (
        "check" in extra
        and isinstance(node, yaml.ScalarNode)
        and _given(node) in {"a number", "a fraction"}
    ):
        try:
            extra["check"](str(node.value))
        except ValueError as error:
            return str(error) if extra.get("hidden") else f"{node.value} {error}"
    return f"must be {_wanted(kind)}, not {_given(node)}"


def _is_number(scalar: object, kind: inspect.Type) -> bool:
    if isinstance(scalar, bool):
        return False
    return isinstance(scalar, int) or (
        isinstance(scalar, float) and isinstance(kind, inspect.FloatType)
    )


def _is_text(text: str) -> bool:
    """Whether there is no character in it that no server and no file can have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _join(path: str, key: str) -> str:
    """A key's path. What is no name is not shown: ``{secret_access_key:abc}`` is one long key."""
    name = key if re.fullmatch(r"[\w-]{1,40}", key) else "?"
    return f"{path}.{name}" if path else name


def _given(node: yaml.Node) -> str:
    """What the file has, in words."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if not isinstance(node, yaml.ScalarNode):
        return "a list"
    names = {bool: "true or false", int: "a number", float: "a fraction", type(None): "nothing"}
    try:
        return names.get(type(scalar_of(node)), "a text")
    except ValueError:
        return "a text with a tag"


def _wanted(kind: inspect.Type) -> str:
    match kind:
        case inspect.StrType():
            return "a text (in quotes if it looks like something else)"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number"
        case inspect.LiteralType():
            *most, last = (str(value) for value in kind.values)
            return f"{', '.join(most)} or {last}"
    return "something else"


def _unknown(key: str, path: str, known: list[str]) -> str:
    start, colon, _ = key.partition(":")
    if colon and start in known:
        return f'unknown key; a space must follow the colon of "{start}:"'
    hint = suggest(key, known)
    if hint:
        return f"unknown key{hint}"
    elsewhere = [place for place, name in _places() if name == key and place != path]
    if elsewhere:
        return f"unknown key here; it belongs under {' or '.join(elsewhere)}"
    return f"unknown key; known here: {', '.join(known)}"


def _places() -> Iterator[tuple[str, str]]:
    """Every key of the file with the place it belongs to."""

    def walk(kind: inspect.Type, place: str) -> Iterator[tuple[str, str]]:
        match kind:
            case inspect.Metadata():
                yield from walk(kind.type, place)
            case inspect.ListType():
                yield from walk(kind.item_type, f"{place}[]")
            case inspect.DictType():
                yield from walk(kind.value_type, f"{place}.*")
            case inspect.StructType():
                for each in kind.fields:
                    yield place or "the top", each.encode_name
                    yield from walk(each.type, _join(place, each.encode_name))

    yield from walk(inspect.type_info(ConfigFile), "")
