"""The arguments of every command, spelled as the Prometheus exporters spell them."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from exporter import __version__
from exporter.config import ServeOptions, Shard, parse_shard
from exporter.logs import LEVELS
from exporter.texts import LANGUAGES

DEFAULT_CONFIG = Path("config.yaml")
DEMO_ADDRESS = "127.0.0.1:10046"
_COMPLETION = "--print-completion"
_OF_THE_WHOLE = frozenset({"-h", "--help", "--version", _COMPLETION})
"""Flags that are not a command's."""
_Flags = argparse._ActionsContainer  # noqa: SLF001 - a parser, or a group of its flags
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[\w.~-]+)*/?")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the arguments; without a command they are those of ``serve``. Exits as argparse does."""
    first = arguments[0] if arguments else ""
    flag = first.partition("=")[0]
    if flag not in _OF_THE_WHOLE and (not first or first.startswith("-")):
        arguments = ["serve", *arguments]
    return _parser(arguments[0].partition("=")[0]).parse_args(arguments)


def serve_options(namespace: argparse.Namespace) -> ServeOptions:
    """What ``serve`` and ``demo`` hand to the daemon."""
    return ServeOptions(
        listen_addresses=tuple(namespace.listen_addresses or (namespace.default_address,)),
        telemetry_path=namespace.telemetry_path,
        web_config_file=namespace.web_config_file,
        enable_lifecycle=namespace.enable_lifecycle,
        external_url=namespace.external_url,
        route_prefix=(namespace.route_prefix or urlsplit(namespace.external_url).path).rstrip("/"),
        shard=namespace.shard,
    )


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ehpc-exporter",
        usage="ehpc-exporter [COMMAND] [flags]",
        description="Prometheus exporter for the job queues of QingCloud and Shanhe E-HPC and HPC "
        "clusters. Without a command, it runs serve.",
        epilog="ehpc-exporter COMMAND --help shows the flags of a command.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog="ehpc-exporter"
    )
    for name, (text, add_flags) in _COMMANDS.items():
        usage = f"ehpc-exporter {name} [flags]"  # with every flag, it would hide what a mistake is about
        its = commands.add_parser(
            name, help=text, description=text, usage=usage, allow_abbrev=False
        )
        # The simulator's flags cost an import that the daemon does without.
        if name != "simulate" or command in {"simulate", _COMPLETION}:
            add_flags(its)
    if command in _OF_THE_WHOLE:  # else a flag before a command would be taken for that command's
        _add_serve(parser.add_argument_group("flags without a command (those of serve)"))
    else:
        _add_version(parser)
    parser.add_argument(
        _COMPLETION, action=_PrintCompletion, choices=("bash", "zsh", "tcsh"), metavar="SHELL",
        help="print a completion script for bash, zsh or tcsh, and exit",
    )  # fmt: skip
    return parser


class _PrintCompletion(argparse.Action):
    """Prints a shell's completion script."""

    def __call__(
        self, parser: argparse.ArgumentParser, _: argparse.Namespace, shell: object, *__: object
    ) -> None:
        import shtab

        _complete_files(parser, shtab.FILE)
        sys.stdout.write(shtab.complete(parser, shell=str(shell)) + "\n")
        parser.exit()


def _complete_files(parser: argparse.ArgumentParser, files: object) -> None:
    """Let the flags that name a file be completed with those that there are."""
    for action in parser._actions:  # noqa: SLF001 - there is no other way to ask for them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for its in action.choices.values():
                _complete_files(its, files)
        elif action.type in {Path, _path, _optional_path}:
            action.complete = files  # type: ignore[attr-defined]


def _add_version(parser: _Flags) -> None:
    parser.add_argument("--version", action="version", version=f"ehpc-exporter {__version__}")


def _add_serve(parser: _Flags) -> None:
    _add_config_file(parser)
    _add_shard(parser)
    _add_web(parser, ServeOptions().listen_addresses[0])
    _add_log(parser)
    _add_version(parser)


def _add_check_config(parser: _Flags) -> None:
    _add_config_file(parser)
    _add_web_config_file(parser)
    _add_shard(parser)
    parser.add_argument(
        "--strict", action="store_true", help="also exit with code 2 if there are warnings"
    )


def _add_collect(parser: _Flags) -> None:
    _add_config_file(parser)
    _add_shard(parser)
    parser.add_argument(
        "--cluster", dest="clusters", action="append", default=[], metavar="NAME",
        help="only this cluster; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--full", action="store_true",
        help="read the whole lists, unless this needs more calls than are left; the result is kept in "
        "state.path if no daemon is using it",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("table", "prometheus"), default="table",
        help="what to print: a table, or Prometheus' text format (default %(default)s)",
    )  # fmt: skip
    _add_language(parser)
    _add_log(parser, level="error")


def _add_simulate(parser: _Flags) -> None:
    from exporter.simulator.command import add_arguments

    add_arguments(parser)


def _add_demo(parser: _Flags) -> None:
    _add_web(parser, DEMO_ADDRESS)
    _add_language(parser)
    _add_log(parser)
    parser.set_defaults(shard=Shard())
    parser.add_argument(
        "--pace", type=_pace, default=20.0, metavar="FACTOR",
        help="how busy the simulated cloud is; 1 is an ordinary day (default %(default)g)",
    )  # fmt: skip


def _add_doctor(parser: _Flags) -> None:
    _add_config_file(parser)
    parser.add_argument("--account", metavar="NAME", help="examine the clusters of this account")
    parser.add_argument(
        "--cluster", dest="clusters", action="append", default=[], metavar="NAME",
        help="examine only this cluster; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--endpoint", metavar="URL",
        help="the API's address, instead of a configuration; the keys are taken from "
        "EHPC_ACCESS_KEY_ID and EHPC_SECRET_ACCESS_KEY in the environment",
    )  # fmt: skip
    parser.add_argument("--zone", metavar="ZONE", help="with --endpoint: the zone, such as jinan1a")
    parser.add_argument(
        "--cluster-id", dest="cluster_ids", action="append", default=[], metavar="ID",
        help="with --endpoint: examine this cluster; repeatable (default: the clusters that the "
        "cloud lists)",
    )  # fmt: skip
    parser.add_argument(
        "--report", type=_optional_path, metavar="FILE",
        help="write the results as JSON, without keys, names and job contents",
    )  # fmt: skip
    _add_language(parser)
    _add_log(parser, level="error")


def _add_language(parser: _Flags) -> None:
    parser.add_argument(
        "--lang", choices=LANGUAGES,
        help="the language of the output (default: that of LANGUAGE, LC_ALL or LANG, or else English)",
    )  # fmt: skip


def _add_config_file(parser: _Flags) -> None:
    parser.add_argument(
        "--config.file", dest="config_file", type=_path, default=DEFAULT_CONFIG,
        metavar="FILE", help="the configuration file (default %(default)s)",
    )  # fmt: skip


def _add_shard(parser: _Flags) -> None:
    parser.add_argument(
        "--shard", type=_shard, default=Shard(), metavar="I/N",
        help="run as shard I (from 0) of N exporters with the same configuration: poll only the "
        "clusters assigned to it, with 1/N of each account's share (default %(default)s)",
    )  # fmt: skip


def _add_web(parser: _Flags, address: str) -> None:
    parser.set_defaults(default_address=address)
    parser.add_argument(
        "--web.listen-address", dest="listen_addresses", type=_address, action="append",
        metavar="ADDRESS",
        help=f"host:port, [::]:port or :port; repeatable (default {address})",
    )  # fmt: skip
    parser.add_argument(
        "--web.telemetry-path", dest="telemetry_path", type=_route, metavar="PATH",
        default=ServeOptions().telemetry_path,
        help="path of the metrics (default %(default)s)",
    )  # fmt: skip
    _add_web_config_file(parser)
    parser.add_argument(
        "--web.external-url", dest="external_url", type=_external_url, metavar="URL", default="",
        help="URL under which users reach this program, such as https://example.org/ehpc behind a "
        "reverse proxy",
    )  # fmt: skip
    parser.add_argument(
        "--web.route-prefix", dest="route_prefix", type=_route_prefix, metavar="PATH", default="",
        help="prefix of every route (default: the path of --web.external-url); / if the reverse "
        "proxy strips that path",
    )  # fmt: skip
    parser.add_argument(
        "--web.enable-lifecycle", dest="enable_lifecycle", action="store_true",
        help="allow POST /-/reload to reload the configuration",
    )  # fmt: skip


def _add_web_config_file(parser: _Flags) -> None:
    parser.add_argument(
        "--web.config.file", dest="web_config_file", type=_optional_path, default=None,
        metavar="FILE", help="TLS and basic auth, in the format of Prometheus' exporter-toolkit",
    )  # fmt: skip


def _add_log(parser: _Flags, level: str = "info") -> None:
    parser.add_argument(
        "--log.level", dest="log_level", choices=LEVELS, default=level,
        help="lowest level to log (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--log.format", dest="log_format", choices=("logfmt", "json"), default="logfmt",
        help="format of the log lines on standard error (default %(default)s)",
    )  # fmt: skip


def _address(text: str) -> str:
    from exporter.web.listening import ListenError, parse_listen_address

    try:
        parse_listen_address(text)
    except ListenError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _shard(text: str) -> Shard:
    try:
        return parse_shard(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _route(text: str) -> str:
    taken = text.startswith(("/-/", "/docs/")) or text == "/docs"
    if taken or not _PREFIX.fullmatch(text) or not text[-1:].isalnum():
        raise argparse.ArgumentTypeError(f"{text!r} is no path such as /metrics")
    return text


def _external_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0 and parts.scheme in {"http", "https"}
        usable = usable or text.startswith("/")
    except ValueError:
        usable = False
    if text and (not usable or parts.query or parts.fragment or not _PREFIX.fullmatch(parts.path)):
        raise argparse.ArgumentTypeError(f"{text!r} is no URL such as https://example.org/ehpc")
    return text


def _route_prefix(text: str) -> str:
    path = f"/{text.strip('/')}" if text else ""
    if not _PREFIX.fullmatch(path):
        raise argparse.ArgumentTypeError(f"{text!r} is no path such as /ehpc")
    return path


def _pace(text: str) -> float:
    from exporter.simulator.command import pace

    return pace(text)


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("is empty")
    return Path(text)


def _optional_path(text: str) -> Path | None:
    return Path(text) if text else None


_COMMANDS: dict[str, tuple[str, Callable[[_Flags], None]]] = {
    "serve": ("run the daemon, which serves /metrics (the default command)", _add_serve),
    "check-config": (
        "validate the configuration and estimate how much of the quota it needs", _add_check_config,
    ),
    "doctor": (
        "find out in a few calls how the cloud's server behaves and what syncing costs", _add_doctor,
    ),
    "collect": ("query every cluster once and print its active jobs", _add_collect),
    "simulate": ("run only the simulated cloud, for experiments", _add_simulate),
    "demo": (
        "run everything against a simulated cloud: no account, no configuration", _add_demo,
    ),
}  # fmt: skip
"""By name, what a command does and what adds its flags."""
COMMANDS = tuple(_COMMANDS)
