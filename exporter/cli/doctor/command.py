"""The ``doctor`` command: what to examine, what is printed, and the exit code."""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from exporter.cli.doctor.page import failure_lines, write_page
from exporter.cli.doctor.report import report_text
from exporter.config import AccountConfig, ClusterConfig, Config, load_config, parse_config
from exporter.daemon.doctor import Progressing
from exporter.errors import ConfigError, ConfigProblem
from exporter.logs import one_line
from exporter.redaction import Redactor
from exporter.texts import Words, language_of

KEY_ID, SECRET = "EHPC_ACCESS_KEY_ID", "EHPC_SECRET_ACCESS_KEY"
_FLAGS = {
    "accounts[0].endpoint": "--endpoint",
    "accounts[0].access_key_id": KEY_ID,
    "accounts[0].secret_access_key": SECRET,
    "accounts[0].discovery.zones[0]": "--zone",
}
"""By key of a configuration, what stands for it where there is none."""


def doctor(namespace: argparse.Namespace, environ: Mapping[str, str], redactor: Redactor) -> int:
    """Look, print, write the report, and give the exit code: 1 if anything failed. Raises
    ``ConfigError``."""
    from exporter import daemon

    words = Words(namespace.lang or language_of(environ))
    config, account = patients(namespace, environ)
    redactor.learn([account.access_key_id, account.secret_access_key.reveal()])
    _check_writable(namespace.report)
    with progress_on(sys.stdout, sys.stderr, words) as progressing:
        found = daemon.diagnose(config, account, progressing, redactor)
    write_page(found, words, sys.stdout)
    unwritten = []
    if namespace.report is not None:
        try:
            namespace.report.write_text(report_text(found), encoding="utf-8")
        except OSError as error:
            unwritten = [_cannot_write(namespace.report, error)]
        else:
            sys.stdout.write(f"\n{words('report_written', path=namespace.report)}\n")
    sys.stdout.flush()
    lines = [*failure_lines(found, words), *unwritten]
    for line in lines:
        sys.stderr.write(line + "\n")
    return 1 if lines else 0


def patients(
    namespace: argparse.Namespace, environ: Mapping[str, str]
) -> tuple[Config, AccountConfig]:
    """An account, and the configuration with those of its clusters that are to be looked at, and with a
    ``discovery`` for those that are to be found first. Raises ``ConfigError``."""
    if namespace.endpoint is not None:
        config = _config_of_flags(namespace, environ)
        return config, config.accounts[0]
    for flag, given in (("--zone", namespace.zone), ("--cluster-id", namespace.cluster_ids)):
        if given:
            _wrong(f"{flag}: goes with --endpoint; a configuration has it for each cluster")
    config = load_config(namespace.config_file, environ)
    clusters = [each for each in config.clusters if _is_wanted(each, namespace)]
    unknown = set(namespace.clusters) - {each.name for each in clusters}
    searched = [each.name for each in config.accounts if _is_searched(each, namespace)]
    _check_names(config, namespace, set() if searched else unknown)
    names = dict.fromkeys(each.account for each in clusters)
    if unknown or not namespace.clusters:
        names |= dict.fromkeys(searched)
    if not names:
        _wrong("--account: no cluster uses it, and it has no discovery")
    if len(names) > 1:
        _wrong(f"--account: needed, as there are several: {', '.join(map(one_line, names))}")
    account = config.account(*names)
    if account.discovery is not None and namespace.clusters:
        include = tuple(re.compile(re.escape(each)) for each in unknown)
        account = replace(account, discovery=replace(account.discovery, include=include))
    return replace(config, accounts=(account,), clusters=tuple(clusters)), account


def _is_searched(account: AccountConfig, namespace: argparse.Namespace) -> bool:
    return account.discovery is not None and namespace.account in (None, account.name)


def _is_wanted(cluster: ClusterConfig, namespace: argparse.Namespace) -> bool:
    of_account = namespace.account in (None, cluster.account)
    return of_account and (not namespace.clusters or cluster.name in namespace.clusters)


def _check_names(config: Config, namespace: argparse.Namespace, unknown: set[str]) -> None:
    accounts = [each.name for each in config.accounts]
    if namespace.account is not None and namespace.account not in accounts:
        known = ", ".join(map(one_line, accounts))
        _wrong(f"--account: no account is named {one_line(namespace.account)}; known: {known}")
    if unknown:
        known = ", ".join(
            one_line(each.name)
            for each in config.clusters
            if namespace.account in (None, each.account)
        )
        names = ", ".join(map(one_line, sorted(unknown)))
        _wrong(f"--cluster: no cluster is named {names}; known: {known}")


def _config_of_flags(namespace: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    """As a configuration file would say it."""
    for flag, given in (("--account", namespace.account), ("--cluster", namespace.clusters)):
        if given:
            _wrong(f"{flag}: names one of a configuration, which --endpoint takes the place of")
    if namespace.zone is None:
        _wrong("--zone: needed with --endpoint, as jinan1a")
    account: dict[str, object] = {
        "endpoint": _literally(namespace.endpoint),
        "access_key_id": f"${{{KEY_ID}}}",
        "secret_access_key": f"${{{SECRET}}}",
    }
    zone = _literally(namespace.zone)
    clusters = [{"cluster_id": _literally(each), "zone": zone} for each in namespace.cluster_ids]
    if not clusters:
        account["discovery"] = {"zones": [zone]}
    file = {"accounts": [account], "clusters": clusters, "state": {"path": ":memory:"}}
    try:
        return parse_config(json.dumps(file), environ, Path())
    except ConfigError as error:
        raise ConfigError([_of_flag(problem) for problem in error.problems]) from error


def _literally(text: str) -> str:
    """A text in which no variable is filled in."""
    return text.replace("$", "$$")


def _of_flag(problem: ConfigProblem) -> ConfigProblem:
    flag = _FLAGS.get(problem.path)
    if problem.path.endswith((".zone", ".cluster_id")):
        flag = f"--{problem.path.rpartition('.')[2].replace('_', '-')}"
    return ConfigProblem(flag or problem.path, problem.message)


def _check_writable(report: Path | None) -> None:
    """Before any call is made."""
    if report is None:
        return
    try:
        report.open("a", encoding="utf-8").close()
    except OSError as error:
        _wrong(_cannot_write(report, error))


def _cannot_write(report: Path, error: OSError) -> str:
    return f"--report: {report} cannot be written: {error.strerror}"


def _wrong(message: str) -> None:
    raise ConfigError([ConfigProblem("", message)])


@contextmanager
def progress_on(out: TextIO, err: TextIO, words: Words) -> Iterator[Progressing]:
    """Say on ``out`` how many calls there may be, and on ``err``, where somebody looks, which is
    being made."""
    status = Console(file=err, markup=False, highlight=False).status(Text(""))
    begun = False

    def progressing(whom: str, made: int, most: int) -> None:
        nonlocal begun
        if not begun:
            out.write(words("begin", most=most) + "\n")
            out.flush()
            begun = True
        told = words("asking", number=made + 1, most=most, whom=one_line(whom) or words("nobody"))
        status.update(Text(told))

    with status if err.isatty() else nullcontext():
        yield progressing
