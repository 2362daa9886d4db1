"""YAML text -> a tree of nodes that know their lines. Nothing is constructed: no tag, no alias
and no key of the file can make this create anything but texts, numbers, lists and mappings.

For both files that an operator writes. Whoever walks such a tree comes by the node of an alias as often
as it is named, and by its aliases each time; so a tree that multiplies itself is refused here.
"""

import math
import re
from collections.abc import Callable

import yaml

from exporter.errors import ConfigError, ConfigProblem

_STR, _INT, _FLOAT, _BOOL, _NULL, _MAPPING, _LIST = (
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")
)

LARGEST_BYTES = 1 << 20
MOST_NODES = 100_000
"""With those of an alias counted wherever it stands."""
_NO_COLON = "could not find expected ':'"
"""As PyYAML says it; often there is a wide colon, or no space."""
MERGE_KEY = "<<"
NO_TAGS = "has a tag that means nothing here"
NO_MERGE_KEYS = "is a merge key, which is not supported; write the keys out"


class _Loader(yaml.SafeLoader):
    """Reads plain scalars as YAML 1.2 does: ``off`` and ``1:30`` are texts."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?[0-9]{1,15}$"), None)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"[-+]?([0-9]{1,15}(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?$"),
    None,
)
_Loader.add_implicit_resolver(_BOOL, re.compile(r"(true|True|TRUE|false|False|FALSE)$"), None)
_Loader.add_implicit_resolver(_NULL, re.compile(r"(~|null|Null|NULL|)$"), None)


def compose(text: str) -> yaml.Node | ConfigProblem | None:
    """Give the root node, None for an empty file, or what is wrong with the YAML."""
    try:
        return _root_of(text)
    except ConfigError as error:
        return error.problems[0]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if error.problem == _NO_COLON:  # noticed on a later line
            mark = error.context_mark or mark
        return ConfigProblem("", f"not YAML: {_problem(error)}", mark.line + 1 if mark else None)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return ConfigProblem("", "not YAML: a control character", line)
    except RecursionError:
        return ConfigProblem("", "not a configuration: nested too deeply")
    except (yaml.YAMLError, ValueError, OverflowError):  # such as an escape beyond Unicode
        return ConfigProblem("", "not YAML")


def _root_of(text: str) -> yaml.Node | None:
    if len(text) > LARGEST_BYTES:
        raise ConfigError([ConfigProblem("", "the file is too large for a configuration")])
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    finally:
        loader.dispose()
    if root is not None and _size(root, {}) > MOST_NODES:
        problem = "not a configuration: its aliases multiply it beyond measure"
        raise ConfigError([ConfigProblem("", problem)])
    if root is not None and is_tagged(root):
        raise ConfigError([ConfigProblem("", NO_TAGS, line_of(root))])
    return root


def _size(node: yaml.Node, known: dict[int, float]) -> float:
    """How many nodes a walk comes by. ``known`` has those of nodes that were seen; of one within
    itself, without end."""
    size = known.get(id(node))
    if size is None:
        known[id(node)] = math.inf
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        size = known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return size


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What PyYAML says, unless it quotes the file: that may be a secret without its quotes."""
    problem = str(error.problem or error.context)
    if problem == _NO_COLON:
        return f"{problem}: a colon and a space must follow each key"
    if "another document" in problem:
        return "it holds more than one document"
    if "undefined" in problem:
        return "a text that begins with *, & or ! must be in quotes"
    return problem


def line_of(node: yaml.Node) -> int:
    """The line on which a node begins, from 1."""
    return int(node.start_mark.line) + 1


def is_tagged(node: yaml.Node) -> bool:
    """Whether a node has a tag that a configuration has no use for, or that does not fit its value."""
    if not isinstance(node, yaml.ScalarNode):
        return bool(node.tag != (_MAPPING if isinstance(node, yaml.MappingNode) else _LIST))
    try:
        scalar_of(node)
    except ValueError:
        return True
    return False


def scalar_of(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """The value of a scalar. Raises ValueError for such a tag as ``is_tagged`` finds."""
    try:
        return _VALUES[node.tag](str(node.value))
    except (KeyError, ValueError):  # whose own message would show the value
        raise ValueError(NO_TAGS) from None


_VALUES: dict[str, Callable[[str], str | int | float | bool | None]] = {
    _STR: str,
    _NULL: lambda _: None,
    _BOOL: lambda text: text.lower() == "true",
    _INT: int,
    _FLOAT: float,
}
