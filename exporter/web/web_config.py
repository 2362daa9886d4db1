"""``--web.config.file``: TLS, users and headers, in the format of Prometheus' exporter-toolkit.

Strict as the main configuration: every problem of the file at once, each with its key and line. A
key that the toolkit has and this program has not is refused too: it would protect nobody.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import yaml

from exporter.errors import ConfigError, ConfigProblem
from exporter.files import read_config_text, require_regular
from exporter.web.access import bcrypt_cost
from exporter.web.tls import CLIENT_AUTH_TYPES, VERSIONS, TlsConfig, asks_less, build_context
from exporter.yaml_tree import (
    LARGEST_BYTES,
    MERGE_KEY,
    NO_MERGE_KEYS,
    NO_TAGS,
    compose,
    is_tagged,
    line_of,
)

_KEYS: Mapping[str, Sequence[str]] = {
    "": ("tls_server_config", "http_server_config", "basic_auth_users"),
    "tls_server_config": (
        "cert_file", "key_file", "client_ca_file", "client_auth_type", "min_version", "max_version",
    ),
    "http_server_config": ("headers", "http2"),
    "http_server_config.headers": (
        "Content-Security-Policy", "Strict-Transport-Security", "X-Content-Type-Options",
        "X-Frame-Options", "X-XSS-Protection",
    ),
}  # fmt: skip
_NOT_HERE = frozenset({
    "rate_limit", "tls_server_config.cert", "tls_server_config.key",
    "tls_server_config.client_ca", "tls_server_config.client_allowed_sans",
    "tls_server_config.cipher_suites", "tls_server_config.curve_preferences",
    "tls_server_config.prefer_server_cipher_suites",
})  # fmt: skip
"""What the toolkit knows besides."""

_BCRYPT_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_LONG_WORD = re.compile(r"\$2[aby]?\$\S{20,}")
_HIGHEST_COST = 15
_TOO_COSTLY = f"so that a check takes minutes or hours; the highest is {_HIGHEST_COST}"
_RESTART = "restart it if that is meant"
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Who may come in and how. The default: everybody, unencrypted."""

    tls: TlsConfig | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """bcrypt hashes by name; nobody has to sign in if there are none."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """For every answer."""


def load_web_config(path: Path) -> WebConfig:
    """Read the file; paths in it are relative to its directory. Raises ``ConfigError``."""
    text = read_config_text(path, LARGEST_BYTES)
    return parse_web_config(text, path.parent)


def parse_web_config(text: str, directory: Path) -> WebConfig:
    """Read such a file's text. Raises ``ConfigError`` with every problem in it."""
    reader = _Reader(directory)
    config = reader.config(_compose(text))
    if reader.problems:
        raise ConfigError(sorted(reader.problems, key=lambda problem: problem.line or 0))
    return config


def refuse_weaker(old: WebConfig, new: WebConfig) -> None:
    """A file that is empty, or half written, must not open what was closed; and sockets are not
    changed under way. Raises ``ConfigError`` with what would."""
    problems = []
    if old.users and not new.users:
        problems.append(ConfigProblem("basic_auth_users", f"would let everybody in; {_RESTART}"))
    if (old.tls is None) != (new.tls is None):
        what = "come" if old.tls is None else "go"
        message = f"cannot {what} while the program runs; {_RESTART}"
        problems.append(ConfigProblem("tls_server_config", message))
    if old.tls and new.tls and asks_less(old.tls, new.tls):
        message = f"would let in more clients than {old.tls.client_auth_type}; {_RESTART}"
        problems.append(ConfigProblem("tls_server_config.client_auth_type", message))
    if old.tls and new.tls and new.tls.min_version < old.tls.min_version:
        message = f"would let in older protocols than {old.tls.min_version}; {_RESTART}"
        problems.append(ConfigProblem("tls_server_config.min_version", message))
    if problems:
        raise ConfigError(problems)


@dataclass(slots=True)
class _Reader:
    directory: Path
    problems: list[ConfigProblem] = field(default_factory=list)

    def config(self, root: yaml.Node | None) -> WebConfig:
        top = self._mapping(root, "")
        http = self._mapping(top.get("http_server_config"), "http_server_config")
        http2 = http.get("http2")
        if http2 is not None and str(http2.value).lower() not in {"true", "false"}:
            self._wrong("http_server_config.http2", "must be true or false", http2)
        tls_node = top.get("tls_server_config")
        return WebConfig(
            tls=None if tls_node is None or _is_null(tls_node) else self._tls(tls_node),
            users=MappingProxyType(self._users(top.get("basic_auth_users"))),
            headers=MappingProxyType(self._headers(http.get("headers"))),
        )

    def _tls(self, node: yaml.Node) -> TlsConfig | None:
        place, before = "tls_server_config", len(self.problems)
        values = self._mapping(node, place)
        cert, key, authority = (
            self._file(values.get(name), f"{place}.{name}")
            for name in ("cert_file", "key_file", "client_ca_file")
        )
        for name, path in (("cert_file", cert), ("key_file", key)):
            if path is None and name not in values and isinstance(node, yaml.MappingNode):
                self._wrong(f"{place}.{name}", "is missing", node)
        auth = self._choice(values, f"{place}.client_auth_type", CLIENT_AUTH_TYPES, "NoClientCert")
        lowest = self._choice(values, f"{place}.min_version", VERSIONS, "TLS12")
        highest = self._choice(values, f"{place}.max_version", VERSIONS, "TLS13")
        if lowest > highest:
            self._wrong(f"{place}.max_version", "is lower than min_version", values["max_version"])
        verifies = auth != "NoClientCert"
        if verifies and "client_ca_file" not in values:
            self._wrong(f"{place}.client_ca_file", f"is missing; {auth} needs it", node)
        if not verifies and authority is not None:
            message = "is of no use without a client_auth_type that verifies"
            self._wrong(f"{place}.client_ca_file", message, values["client_ca_file"])
        if len(self.problems) > before or cert is None or key is None:
            return None
        config = TlsConfig(cert, key, authority, auth, lowest, highest)
        try:
            build_context(config)
        except ConfigError as error:
            for problem in error.problems:
                name = problem.path.rpartition(".")[2]
                self._wrong(problem.path, problem.message, values.get(name, node))
        return config

    def _users(self, node: yaml.Node | None) -> dict[str, str]:
        users = {}
        for name, value in self._mapping(node, "basic_auth_users").items():
            path = f"basic_auth_users.{name}"
            secret = self._text(value, path)
            if not name or ":" in name or not name.isprintable():
                self._wrong(
                    path, "is not a user name; it must not be empty or contain a colon", value
                )
            elif secret is not None and not _BCRYPT_HASH.fullmatch(secret):
                message = 'is not a bcrypt hash; make one with: htpasswd -nBC 10 "" | tr -d ":\\n"'
                self._wrong(path, message, value)
            elif secret is not None and (cost := bcrypt_cost(secret)) > _HIGHEST_COST:
                message = f"has a cost of {cost}, {_TOO_COSTLY}"
                self._wrong(path, message, value)
            elif secret is not None:
                users[name] = secret
        return users

    def _headers(self, node: yaml.Node | None) -> dict[str, str]:
        headers = {}
        for name, value in self._mapping(node, "http_server_config.headers").items():
            path = f"http_server_config.headers.{name}"
            text = self._text(value, path)
            if text is not None and not _HEADER_VALUE.fullmatch(text):
                self._wrong(path, "must be one line of plain characters", value)
            elif text is not None:
                headers[name] = text
        return headers

    def _mapping(self, node: yaml.Node | None, place: str) -> dict[str, yaml.Node]:
        """The values by key, those with faults left out; empty where there is nothing."""
        if node is None or _is_null(node):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self._wrong(place, "must be a mapping", node)
            return {}
        values: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            path = f"{place}.{key}" if place else key
            if key in values:
                first = line_of(values[key])
                self._wrong(path, f"is there twice, first on line {first}", key_node)
            elif key == MERGE_KEY:
                self._wrong(place, f"{MERGE_KEY} {NO_MERGE_KEYS}", key_node)
            elif is_tagged(key_node) or is_tagged(value):
                self._wrong(path, NO_TAGS, key_node)
            elif path in _NOT_HERE:
                self._wrong(path, "is not supported by this exporter", key_node)
            elif place in _KEYS and key not in _KEYS[place]:
                self._wrong(path, f"unknown key{_hint(key, _KEYS[place])}", key_node)
            else:
                values[key] = value
        return values

    def _text(self, node: yaml.Node, path: str) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.value:
            return str(node.value)
        self._wrong(path, "must be a text", node)
        return None

    def _file(self, node: yaml.Node | None, path: str) -> Path | None:
        text = None if node is None else self._text(node, path)
        if text is None:
            return None
        file = self.directory / text
        try:
            require_regular(file)
            with file.open("rb"):
                return file
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no name of a file"
            self._wrong(path, f"cannot read {file}: {reason}", node)
            return None

    def _choice(
        self, values: Mapping[str, yaml.Node], path: str, known: Mapping[str, str], default: str
    ) -> str:
        """One of the known words; ``known`` says of those that cannot be had what to do."""
        node = values.get(path.rpartition(".")[2])
        text = default if node is None else self._text(node, path)
        if text is None:
            return default
        if text not in known:
            words = ", ".join(word for word, objection in known.items() if not objection)
            self._wrong(path, f"must be one of {words}{_hint(text, list(known))}", node)
            return default
        if known[text]:
            self._wrong(path, f"{text} {known[text]}", node)
            return default
        return text

    def _wrong(self, path: str, message: str, node: yaml.Node | None) -> None:
        line = None if node is None else line_of(node)
        self.problems.append(ConfigProblem(_shown(path), _shown(message), line))


def _compose(text: str) -> yaml.Node | None:
    root = compose(text)
    if isinstance(root, ConfigProblem):
        raise ConfigError([root])
    return root


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _shown(text: str) -> str:
    """One line, whatever keys and names of files hold, and no hash that is mistaken for a key."""
    text = _LONG_WORD.sub("?", text)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _hint(text: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(text, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else ""
