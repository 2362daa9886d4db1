"""From a file's path to a ``Config``, or to all problems of the file."""

import itertools
import ssl
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from exporter.config import checks
from exporter.config.file import (
    Account,
    Cluster,
    Collection,
    ConfigFile,
    Discovery,
    QueueLabel,
    State,
    UserLabel,
)
from exporter.config.groups import read_groups
from exporter.config.reader import Reading, quoted, read
from exporter.config.values import (
    AccountConfig,
    ClusterConfig,
    CollectionConfig,
    Config,
    DiscoveryConfig,
    LabelsConfig,
    QueueConfig,
    Secret,
    StateConfig,
)
from exporter.errors import ConfigError, ConfigProblem
from exporter.files import read_config_text, read_file, require_regular
from exporter.labels import Groups, Wanted
from exporter.yaml_tree import LARGEST_BYTES, compose

IN_MEMORY = ":memory:"
STATE_VARIABLE = "STATE_DIRECTORY"
"""Set by systemd, and in the image."""
KEY_FILES = ("access_key_id_file", "secret_access_key_file")
_LARGEST_SECRET_BYTES = 1 << 16


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read a configuration file; paths in it are relative to its directory.

    Raises ``ConfigError`` with every problem of the file.
    """
    text = read_config_text(path, LARGEST_BYTES)
    return parse_config(text, environ, path.parent)


def parse_config(text: str, environ: Mapping[str, str], directory: Path) -> Config:
    """Read a configuration; ``directory`` is where its relative paths begin.

    Raises ``ConfigError`` with every problem of the text.
    """
    root = compose(text)
    if isinstance(root, ConfigProblem):
        raise ConfigError([root])
    reading = read(root, environ)
    _check_accounts(reading)
    _check_clusters(reading)
    _check_labels(reading)
    files = _read_files(reading, directory)
    if reading.problems:
        raise ConfigError(sorted(reading.problems, key=lambda problem: problem.line or 0))
    try:
        file = msgspec.convert(reading.values, ConfigFile)
    except msgspec.ValidationError as error:  # the reader knows less than the types do
        raise ConfigError([_whole(str(error))]) from error
    return _build(file, files, environ, directory)


def read_secret_file(path: Path) -> Secret:
    """Read a key, without white space around it. Raises ``ConfigError``."""
    try:
        return _secret_of(path)
    except ValueError as error:
        raise ConfigError([_whole(f"the key file {path} {error}")]) from error


def config_warnings(config: Config) -> tuple[str, ...]:
    """What is allowed and still unlikely to be meant; one line each, to be logged at a start."""
    return (
        tuple(
            f"account {account.name}: the endpoint is plain http, so anybody on the network path "
            "can read and change the answers; use https"
            for account in config.accounts
            if checks.is_plain_http_abroad(account.endpoint)
        )
        + tuple(
            f"account {account.name}: the endpoint ends in a part of the API's own paths; the exporter adds"
            " /api/job/list to it"
            for account in config.accounts
            if checks.repeats_path(account.endpoint)
        )
        + tuple(
            f"account {account.name}: quota.share is less than one call in a period, so one is made; raise it"
            for account in config.accounts
            if account.quota_requests * account.quota_share < 1
        )
        + tuple(
            f"accounts {first.name} and {second.name} have the same endpoint and key, so each counts only its"
            " own calls and together they may use more than a share; make them one account"
            for first, second in itertools.combinations(config.accounts, 2)
            if (first.endpoint, first.access_key_id) == (second.endpoint, second.access_key_id)
        )
        + tuple(
            f"account {account.name}: everybody on this machine can read {path}; run chmod 600 on it"
            for account in config.accounts
            for path in account.key_files
            if _is_open_to_all(path)
        )
        + tuple(
            f"cluster {cluster.name}: its interval is not shorter than its staleness, so its "
            "counts will come and go; without staleness, it follows the interval"
            for cluster in config.clusters
            if cluster.staleness_seconds is not None
            and cluster.interval_seconds >= cluster.staleness_seconds
        )
    )


def _whole(message: str) -> ConfigProblem:
    return ConfigProblem("", message)


def _items(reading: Reading, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of a list that could be read, with their paths."""
    for index, item in enumerate(reading.values.get(key, [])):
        if isinstance(item, dict):
            yield f"{key}[{index}]", item


def _check_accounts(reading: Reading) -> None:
    several = len(reading.values.get("accounts", [])) > 1
    for path, _ in _items(reading, "accounts"):
        if several and f"{path}.name" not in reading.lines:
            reading.problem(path, "needs a name, as there are several accounts")
        for article, key in (("an", "access_key_id"), ("a", "secret_access_key")):
            given = [name for name in (key, f"{key}_file") if f"{path}.{name}" in reading.lines]
            if not given:
                reading.problem(path, f"needs {article} {key} or {article} {key}_file")
            if len(given) > 1:
                reading.problem(f"{path}.{key}_file", f"cannot be given together with {key}")
    _check_unique(reading, "accounts", lambda account: account.get("name"), ".name", "name")


def _check_clusters(reading: Reading) -> None:
    accounts = reading.values.get("accounts", [])
    finding = any("discovery" in each for each in accounts if isinstance(each, dict))
    if not finding and all(problem.path for problem in reading.problems):
        if "clusters" not in reading.lines:
            reading.lines["clusters"] = reading.lines.get("", 1)
            reading.problem("clusters", "is missing")
        elif reading.values.get("clusters") == []:
            reading.problem("clusters", "is empty; at least one is needed")
    names = _account_names(reading)
    for path, cluster in _items(reading, "clusters"):
        account = cluster.get("account")
        where = f"{path}.account"
        if account is None and where not in reading.lines and len(names) > 1:
            reading.problem(path, "needs an account, as there are several accounts")
        elif account is not None and names and account not in names:
            hint = checks.suggest(account, names) or f"; known: {', '.join(map(quoted, names))}"
            written = quoted(reading.written[where])
            reading.problem(where, f"{written} is not the name of an account{hint}")

    def name(cluster: dict[str, Any]) -> Any:
        return cluster.get("name", cluster.get("cluster_id"))

    endpoints = {
        str(item.get("name", "default")): str(item.get("endpoint")).rstrip("/")
        for item in accounts
        if isinstance(item, dict)
    }

    def identity(cluster: dict[str, Any]) -> Any:  # as ledgers are kept
        account = cluster.get("account", names[0] if names else "")
        parts = (endpoints.get(account, account), cluster.get("zone"), cluster.get("cluster_id"))
        return None if None in parts else parts

    _check_unique(reading, "clusters", name, ".name", "name")
    _check_unique(reading, "clusters", identity, ".cluster_id", "endpoint, zone and cluster_id")


def _check_labels(reading: Reading) -> None:
    for path, cluster in _items(reading, "clusters"):
        for name in cluster.get("labels", {}):
            try:
                checks.label_name(name)
            except ValueError as error:
                reading.problem(f"{path}.labels", f"{quoted(name)} {error}")


def _account_names(reading: Reading) -> list[str]:
    """Names that clusters can refer to; none while any account's name is not known."""
    accounts = reading.values.get("accounts", [])
    if len(accounts) == 1 and isinstance(accounts[0], dict):
        accounts = [{"name": "default"} | accounts[0]]
    names = [str(item["name"]) for item in accounts if isinstance(item, dict) and item.get("name")]
    return names if len(names) == len(accounts) else []


def _check_unique(
    reading: Reading, key: str, identity: Callable[[dict[str, Any]], Any], at: str, what: str
) -> None:
    first: dict[Any, str] = {}
    for path, item in _items(reading, key):
        known = identity(item)
        if known is None:
            continue
        if known in first:
            where = path + at if path + at in reading.lines else path
            reading.problem(where, f"the same {what} as {first[known]}")
        first.setdefault(known, path)


@dataclass(frozen=True, slots=True)
class _Files:
    """What was read of the files that the configuration names."""

    keys: dict[str, Secret]
    """By path of the key."""
    groups: Groups | None


def _read_files(reading: Reading, directory: Path) -> _Files:
    """Try every file that the configuration names."""
    secrets = {}
    for path, account in _items(reading, "accounts"):
        for name in KEY_FILES:
            where = f"{path}.{name}"
            if name in account:
                try:
                    secrets[where] = _secret_of(directory / account[name])
                except ValueError as error:
                    reading.problem(where, f"{quoted(reading.written[where])} {error}")
        where = f"{path}.ca_file"
        if "ca_file" in account:
            try:
                _check_certificates(directory / account["ca_file"])
            except ValueError as error:
                reading.problem(where, f"{quoted(reading.written[where])} {error}")
    return _Files(secrets, _read_groups(reading, directory))


def _read_groups(reading: Reading, directory: Path) -> Groups | None:
    written = reading.values.get("labels", {}).get("user", {}).get("groups_file")
    if not written:
        return None
    try:
        return read_groups(directory / written)
    except ConfigError as error:
        reading.problems += error.problems
        return None


def _secret_of(path: Path) -> Secret:
    try:
        data = read_file(path, _LARGEST_SECRET_BYTES)
        text = data.decode()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None  # the cause would hold the content
    if len(data) > _LARGEST_SECRET_BYTES:
        raise ValueError("is too large for a file that contains only a key")
    return Secret(checks.key(text))


def _is_open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _check_certificates(path: Path) -> None:
    try:
        require_regular(path)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise ValueError("does not hold certificates in PEM form") from error
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def _build_state(path: str, environ: Mapping[str, str], directory: Path) -> StateConfig:
    """Where the path is the default, whoever runs the program may know a better place."""
    if path == IN_MEMORY:
        return StateConfig(None)
    if Path(path) == Path(State().path):
        path = environ.get(STATE_VARIABLE) or path
    return StateConfig(directory / path)


def _build(file: ConfigFile, read: _Files, environ: Mapping[str, str], directory: Path) -> Config:
    collection = CollectionConfig(
        interval_seconds=checks.interval(file.collection.interval),
        history_seconds=checks.history(file.collection.history),
        audit_interval_seconds=checks.interval(file.collection.audit_interval),
        capacity_interval_seconds=checks.capacity_interval(file.collection.capacity_interval),
        change_detector=file.collection.change_detector == "auto",
        staleness_seconds=checks.staleness(file.collection.staleness),
    )
    user, queue = file.labels.user, file.labels.queue
    label_names = sorted({name for cluster in file.clusters for name in cluster.labels})
    return Config(
        accounts=tuple(
            _build_account(
                account,
                [read.keys.get(f"accounts[{index}].{name}") for name in KEY_FILES],
                directory,
            )
            for index, account in enumerate(file.accounts)
        ),
        clusters=tuple(
            _build_cluster(cluster, file.accounts[0].name, file.collection, label_names)
            for cluster in file.clusters
        ),
        collection=collection,
        state=_build_state(file.state.path, environ, directory),
        labels=LabelsConfig(
            user_mode=user.mode,
            user_limit=user.limit,
            queue_limit=queue.limit,
            users=_build_wanted(user),
            queues=_build_wanted(queue),
            groups_file=_path(user.groups_file, directory),
            groups=read.groups,
        ),
        grafana="" if file.links.grafana is UNSET else checks.link(file.links.grafana),
    )


def _build_account(
    account: Account, from_files: Sequence[Secret | None], directory: Path
) -> AccountConfig:
    key_id, secret = (
        given or Secret(checks.key(written or "?"))
        for given, written in zip(
            from_files, (account.access_key_id, account.secret_access_key), strict=True
        )
    )
    return AccountConfig(
        name=account.name,
        endpoint=checks.endpoint(account.endpoint),
        access_key_id=key_id.reveal(),
        access_key_id_file=_path(account.access_key_id_file, directory),
        secret_access_key=secret,
        secret_access_key_file=_path(account.secret_access_key_file, directory),
        timeout_seconds=checks.duration(account.timeout),
        quota_requests=account.quota.requests,
        quota_period_seconds=checks.duration(account.quota.period),
        quota_share=account.quota.share,
        ca_file=_path(account.ca_file, directory),
        user_id=account.user_id or "",
        discovery=_build_discovery(account.discovery),
    )


def _build_discovery(written: Discovery | msgspec.UnsetType) -> DiscoveryConfig | None:
    if isinstance(written, msgspec.UnsetType):
        return None
    return DiscoveryConfig(
        zones=tuple(dict.fromkeys(written.zones)),
        include=tuple(map(checks.pattern, written.include)),
        exclude=tuple(map(checks.pattern, written.exclude)),
        interval_seconds=checks.interval(written.interval),
    )


def _build_wanted(written: UserLabel | QueueLabel) -> Wanted:
    include, exclude = (
        tuple(map(checks.pattern, each)) for each in (written.include, written.exclude)
    )
    return Wanted(include, exclude)


def _build_cluster(
    cluster: Cluster, only_account: str, collection: Collection, label_names: Sequence[str]
) -> ClusterConfig:
    return ClusterConfig(
        name=cluster.name or cluster.cluster_id,
        account=cluster.account or only_account,
        cluster_id=cluster.cluster_id,
        zone=cluster.zone,
        timezone=checks.timezone(cluster.timezone),
        interval_seconds=checks.interval(cluster.interval or collection.interval),
        staleness_seconds=checks.staleness(cluster.staleness or collection.staleness),
        queues=tuple(
            QueueConfig(name, _given(queue.cores), _given(queue.gpus))
            for name, queue in sorted(cluster.queues.items())
        ),
        labels=tuple((name, cluster.labels.get(name, "")) for name in label_names),
    )


def _given(written: int | msgspec.UnsetType) -> int | None:
    return None if isinstance(written, msgspec.UnsetType) else written


def _path(written: str | msgspec.UnsetType, directory: Path) -> Path | None:
    return directory / written if written else None
