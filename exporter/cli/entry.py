"""Which command runs, and which exit code it ends with."""

import argparse
import contextlib
import errno
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from exporter.cli.arguments import DEFAULT_CONFIG, parse_arguments, serve_options
from exporter.config import Config, load_config, select
from exporter.errors import ApiError, ConfigError, ConfigProblem, ExporterError
from exporter.logs import set_up_logging
from exporter.redaction import Redactor
from exporter.texts import Words, language_of

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
_FULL = (errno.ENOSPC, errno.EDQUOT)
_RAISE = "; raise the limit of open files (ulimit -n, or LimitNOFILE= of a service)"
_WITHOUT_CONFIG = """\
Name another file with --config.file, or write one: config.example.yaml shows all keys. "ehpc-exporter demo"
needs none.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; ``arguments`` without the program's name. Gives the exit code."""
    _replace_closed_streams()
    # Of patterns in a configuration that another version of Python may read in another way, such as [[a].
    warnings.filterwarnings("ignore", category=FutureWarning)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show is no error
            stream.reconfigure(errors="replace")
    namespace = parse_arguments(list(sys.argv[1:] if arguments is None else arguments))
    run = _COMMANDS[namespace.command]
    try:
        code = run(namespace)
        sys.stdout.flush()
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        cause = error.__cause__
        if isinstance(cause, FileNotFoundError) and Path(cause.filename) == DEFAULT_CONFIG:
            sys.stderr.write(_WITHOUT_CONFIG)
        return MISUSED
    except ExporterError as error:
        sys.stderr.write(f"ehpc-exporter: {error}{_more_files(error.__cause__)}\n")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        return _without_output(error, run)
    if run is _serve and arguments is None:  # the process is ours
        _leave(code)
    return code


def _replace_closed_streams() -> None:
    """A stream that whoever started us has closed leads nowhere now; else the next file that is opened would
    take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            setattr(sys, name, os.fdopen(descriptor, "w" if number else "r", encoding="utf-8"))


def _without_output(error: OSError, run: Callable[[argparse.Namespace], int]) -> int:
    """The reader of our output, such as head, has had enough, or a disk is full: that of the output, or of the
    file that the error names; or no more files may be opened. Raises any other error."""
    if advice := _more_files(error):
        sys.stderr.write(f"ehpc-exporter: {error.strerror}{advice}\n")
        return FAILED
    of_output = error.filename is None and run is not _serve  # which has none
    if error.errno not in (errno.EPIPE, *_FULL) or (error.filename is None and not of_output):
        raise error
    if error.errno in _FULL:
        what = "the output" if of_output else error.filename
        sys.stderr.write(f"ehpc-exporter: {what} cannot be written: {error.strerror}\n")
    if of_output:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _more_files(error: BaseException | None) -> str:
    """What to do if the program, or the machine, may open no more files; else nothing."""
    few = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
    return _RAISE if few else ""


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """While a program that runs for days starts, before it heeds signals itself: SIGTERM ends it.

    Without a handler, process 1 of a container would not even notice.
    """

    def end(_: int, __: FrameType | None) -> None:
        raise SystemExit(DONE)

    kept = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)


@contextlib.contextmanager
def _sighup_waits() -> Iterator[None]:
    """SIGHUP, which would end a program that starts, waits until the daemon heeds it."""
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.sigtimedwait({signal.SIGHUP}, 0)  # it has come too late
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)


@_ended_by_sigterm()
@_sighup_waits()
def _serve(namespace: argparse.Namespace) -> int:
    from exporter import daemon

    redactor = Redactor()
    set_up_logging(namespace.log_level, namespace.log_format, redactor)
    return daemon.serve(namespace.config_file, serve_options(namespace), redactor)


def _leave(code: int) -> NoReturn:
    """End at once. What is still open, such as the ledgers of hundreds of clusters, need not be closed
    one after the other, each with its part of the disk's time: they are as safe as from a kill."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # it is closed
            stream.flush()
    os._exit(code)


def _check_config(namespace: argparse.Namespace) -> int:
    from exporter.cli.projection import found_report, report, warnings
    from exporter.daemon.sightings import of_shard, survey, with_found
    from exporter.ledger.discovered import read_discovered

    config, valid = _valid(namespace.config_file, namespace.web_config_file)
    before = read_discovered(config.state.path)
    told = found_report(of_shard(survey(config, before), namespace.shard))
    config = select(with_found(config, before), namespace.shard)
    sys.stdout.writelines(f"{path} is valid\n" for path in valid)
    sys.stdout.write(f"\n{told}{report(config)}")
    if namespace.strict and (found := warnings(config)):
        sys.stdout.flush()
        sys.stderr.writelines(f"--strict: {warning}\n" for warning in found)
        return MISUSED
    return DONE


def _valid(config_file: Path, web_config_file: Path | None) -> tuple[Config, list[Path]]:
    """The configuration, and the files that were read. Raises ConfigError with the problems of all of them."""
    problems: list[ConfigProblem] = []
    valid = [config_file]
    if web_config_file is not None:
        from exporter.web.web_config import load_web_config

        try:
            load_web_config(web_config_file)
        except ConfigError as error:
            problems += error.problems
        valid.append(web_config_file)
    try:
        config = load_config(config_file, os.environ)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error.__cause__
    if problems:
        raise ConfigError(problems)
    return config, valid


def _doctor(namespace: argparse.Namespace) -> int:
    from exporter.cli.doctor.command import doctor

    redactor = Redactor()
    set_up_logging(namespace.log_level, namespace.log_format, redactor)
    return doctor(namespace, os.environ, redactor)


def _collect(namespace: argparse.Namespace) -> int:
    from exporter.cli.collecting import collect
    from exporter.daemon.discovery import found_now

    redactor = Redactor()
    set_up_logging(namespace.log_level, namespace.log_format, redactor)
    config = load_config(namespace.config_file, os.environ)
    redactor.learn(account.secret_access_key.reveal() for account in config.accounts)
    words = Words(namespace.lang or language_of(os.environ))
    try:
        config = select(found_now(config, redactor), namespace.shard)
    except ApiError as error:
        advice = words("collect.do", text=words.advice(error.advice))
        sys.stderr.write(f"ehpc-exporter: {error}\n{advice}\n")
        return FAILED
    return collect(config, namespace.clusters, namespace.format, words, full=namespace.full)


@_ended_by_sigterm()
def _simulate(namespace: argparse.Namespace) -> int:
    from exporter.simulator.command import SimulatorError, run_simulator

    try:
        run_simulator(namespace)
    except SimulatorError as error:
        sys.stderr.write(f"ehpc-exporter simulate: {error}\n")
        return MISUSED
    return DONE


@_ended_by_sigterm()
def _demo(namespace: argparse.Namespace) -> int:
    from exporter.cli.demo import demo

    redactor = Redactor()
    set_up_logging(namespace.log_level, namespace.log_format, redactor)
    words = Words(namespace.lang or language_of(os.environ))
    return demo(serve_options(namespace), redactor, words, pace=namespace.pace)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve,
    "check-config": _check_config,
    "doctor": _doctor,
    "collect": _collect,
    "simulate": _simulate,
    "demo": _demo,
}
