"""Commands, flags and exit codes are the contract's, and serving loads nothing that it does not need."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from exporter import __version__
from exporter.cli import main
from exporter.cli.arguments import COMMANDS
from exporter.config import ServeOptions
from exporter.daemon.signals import heeded
from exporter.errors import ConfigError, ConfigProblem, StateError

from .conftest import FakeDaemon


@pytest.mark.parametrize("command", [[], ["serve"]])
def test_without_a_command_it_serves(command: list[str], daemon: FakeDaemon) -> None:
    assert main(command) == 0
    assert daemon.served == [(Path("config.yaml"), ServeOptions())]


def test_every_flag_of_serve(daemon: FakeDaemon) -> None:
    flags = [
        "--config.file=a.yaml",
        "--web.listen-address=:1",
        "--web.listen-address=[::1]:2",
        "--web.listen-address=localhost:3",
        "--web.telemetry-path=/hpc/metrics",
        "--web.config.file=web.yaml",
        "--web.enable-lifecycle",
        "--log.level=debug",
        "--log.format=json",
    ]
    assert main(flags) == 0
    options = ServeOptions(
        listen_addresses=(":1", "[::1]:2", "localhost:3"),
        telemetry_path="/hpc/metrics",
        web_config_file=Path("web.yaml"),
        enable_lifecycle=True,
    )
    assert daemon.served == [(Path("a.yaml"), options)]


@pytest.mark.parametrize(
    ("flags", "prefix"),
    [
        ([], ""),
        (["--web.external-url="], ""),
        (["--web.external-url=https://example.org"], ""),
        (["--web.external-url=https://example.org/"], ""),
        (["--web.external-url=https://example.org:8443/a/ehpc/"], "/a/ehpc"),
        (["--web.external-url=/ehpc"], "/ehpc"),
        (["--web.external-url=https://example.org/ehpc", "--web.route-prefix=/"], ""),
        (["--web.external-url=https://example.org/ehpc", "--web.route-prefix=/x"], "/x"),
        (["--web.route-prefix="], ""),
        (["--web.route-prefix=ehpc/"], "/ehpc"),
        (["--web.route-prefix=/a/b.c~d-e_f"], "/a/b.c~d-e_f"),
    ],
)
def test_the_route_prefix_is_the_path_of_the_external_url(
    flags: list[str], prefix: str, daemon: FakeDaemon
) -> None:
    assert main(flags) == 0
    assert daemon.served[0][1].route_prefix == prefix


def test_an_empty_web_config_file_is_none(daemon: FakeDaemon) -> None:
    main(["--web.config.file="])
    assert daemon.served[0][1].web_config_file is None


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (
            "--web.listen-address=10046",
            "'10046' is no address to listen on; write :PORT, HOST:PORT or [IPv6]:PORT",
        ),
        ("--web.listen-address=:65536", "':65536' is no address to listen on"),
        ("--web.listen-address=::1:80", "'::1:80' is no address to listen on"),
        ("--web.telemetry-path=metrics", "'metrics' is no path such as /metrics"),
        ("--web.telemetry-path=/", "'/' is no path such as /metrics"),
        ("--web.telemetry-path=/-/healthy", "'/-/healthy' is no path such as /metrics"),
        ("--web.external-url=example.org", "'example.org' is no URL such as https://example.org"),
        ("--web.external-url=ftp://example.org/", "is no URL such as https://example.org/ehpc"),
        ("--web.external-url=https:///ehpc", "is no URL such as https://example.org/ehpc"),
        ("--web.external-url=https://x/a?b", "is no URL such as https://example.org/ehpc"),
        ("--web.external-url=https://x:port/", "is no URL such as https://example.org/ehpc"),
        ("--web.external-url=https://x/../etc", "is no URL such as https://example.org/ehpc"),
        ("--web.external-url='https://x'", "is no URL such as https://example.org/ehpc"),
        ("--web.route-prefix=/a b", "'/a b' is no path such as /ehpc"),
        ("--web.route-prefix=/a//b", "'/a//b' is no path such as /ehpc"),
        ("--web.route-prefix=/..", "'/..' is no path such as /ehpc"),
        ("--log.level=loud", "invalid choice: 'loud'"),
        ("--log.format=xml", "invalid choice: 'xml'"),
        ("--web.listen=:1", "unrecognized arguments: --web.listen=:1"),
        ("--config.file=", "argument --config.file: is empty"),
    ],
)
def test_wrong_flags(
    flag: str, said: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([flag])
    assert caught.value.code == 2
    usage, error = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: ehpc-exporter")
    assert said in error
    assert not daemon.served


@pytest.mark.parametrize("arguments", [["--version"], ["serve", "--version"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"ehpc-exporter {__version__}\n"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"] if command else ["--help"])
    assert caught.value.code == 0
    assert f"ehpc-exporter {command}".strip() in capsys.readouterr().out


def test_help_without_a_command_has_the_flags_of_serve(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    of_serve = set(re.findall(r"--[\w.-]+", capsys.readouterr().out))
    with pytest.raises(SystemExit):
        main(["--help"])
    assert {"--web.listen-address", "--version"} < of_serve
    assert of_serve < set(re.findall(r"--[\w.-]+", capsys.readouterr().out))


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_flags_and_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--print-completion=bash"])
    assert caught.value.code == 0
    (tmp_path / "config.yaml").touch()
    typed = ["coll", "collect --fu", "--web.l", "--log.level deb", "serve --config.file conf",
             "simulate --profi"]  # fmt: skip
    asked = "".join(
        f"COMP_WORDS=(ehpc-exporter {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); COMPREPLY=()\n"
        '_shtab_ehpc_exporter; echo "${COMPREPLY[*]}"\n'
        for words in typed
    )
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out + asked)
    told = subprocess.check_output(["bash", script], text=True, cwd=tmp_path)
    assert told.splitlines() == [
        "collect", "--full", "--web.listen-address", "debug", "config.yaml", "--profile"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "flags",
    [
        *(["demo", f"--pace={pace}"] for pace in ("0", "-1", "nan", "inf", "1e300", "fast")),
        ["simulate", "--clusters=-1"],
        ["simulate", "--clusters=2.5"],
        ["simulate", "--speed=nan"],
        ["simulate", "--latency=-1"],
        ["simulate", "--latency=inf"],
        ["simulate", "--quota-period=0"],
        ["simulate", "--quota-requests=-5"],
        ["simulate", "--clock-skew=inf"],
        ["simulate", "--trace=x.csv", "--queue-cores=0"],
        ["simulate", "--fault=slow:seconds=nan"],
        ["simulate", "--fault=slow:every=often"],
        ["simulate", "--profile=/dev/zero"],
        ["simulate", "--listen-address=:99999"],
        ["simulate", "--clusters=0", "--listen-address=no..host:0"],
        ["simulate", "--clock-skew=1e300"],
        ["serve", "--web.telemetry-path=/../metrics"],
        ["serve", "--web.telemetry-path=//metrics"],
        ["serve", "--web.telemetry-path=/docs/metrics"],
    ],
    ids=" ".join,
)
def test_numbers_and_paths_out_of_bounds(
    flags: list[str], daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(flags)
    except SystemExit as left:
        code = left.code
    assert (code, daemon.served) == (2, [])
    *_, said = capsys.readouterr().err.splitlines()
    assert re.search(r": .*(is not|is no|out of range|too l)", said)


def test_check_config_tells_the_faults_of_both_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, web = tmp_path / "config.yaml", tmp_path / "web.yml"
    config.write_text("[]")
    web.write_text("tls: {}")
    assert main(["check-config", f"--config.file={config}", f"--web.config.file={web}"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == ["tls: unknown key (line 1)", "must be a mapping, not a list (line 1)"]


@pytest.mark.parametrize("command", ["check-config", "doctor", "collect"])
def test_without_a_configuration_it_says_how_to_go_on(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 2
    told = capsys.readouterr().err
    assert told.startswith("cannot read config.yaml: No such file or directory\nName another file")
    assert main([command, "--config.file=other.yaml"]) == 2
    assert capsys.readouterr().err == "cannot read other.yaml: No such file or directory\n"


def test_how_serving_ends(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.serve_result = ConfigError(
        [ConfigProblem("clusters[1].zone", "is missing", 7), ConfigProblem("", "not YAML")]
    )
    assert main([]) == 2
    assert capsys.readouterr().err == "clusters[1].zone: is missing (line 7)\nnot YAML\n"
    daemon.serve_result = StateError("the state directory is in use")
    assert main([]) == 1
    assert capsys.readouterr().err == "ehpc-exporter: the state directory is in use\n"


@pytest.mark.parametrize("named", [True, False])
def test_without_descriptors_it_says_how_to_go_on(
    named: bool,
    daemon: FakeDaemon,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> int:
        error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if not named:
            raise error
        raise StateError("x.lock: cannot be opened") from error

    monkeypatch.setattr("exporter.daemon.serve", fail)
    assert main([]) == 1
    what = "x.lock: cannot be opened" if named else "Too many open files"
    assert capsys.readouterr().err == (
        f"ehpc-exporter: {what}; raise the limit of open files (ulimit -n, or LimitNOFILE= of a service)\n"
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_file_on_a_full_disk_is_named(
    number: int,
    daemon: FakeDaemon,
    config_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "/var/lib/x")

    monkeypatch.setattr("exporter.daemon.collect", fail)
    assert main(["collect", f"--config.file={config_file}"]) == 1
    assert capsys.readouterr().err == (
        f"ehpc-exporter: /var/lib/x cannot be written: {os.strerror(number)}\n"
    )


def test_serving_has_no_output_that_a_disk_could_be_too_full_for(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no more watches")

    monkeypatch.setattr("exporter.daemon.serve", fail)
    with pytest.raises(OSError, match="no more watches"):
        main([])


def test_serving_needs_no_tables_no_simulated_cloud_and_no_markdown() -> None:
    script = (
        "import sys, exporter.cli, exporter.daemon;"
        "print([name for name in ('rich', 'exporter.simulator', 'markdown_it') if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert process.stdout == "[]\n"


def test_a_pattern_with_a_bracket_in_a_set_is_no_warning_of_the_library(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "accounts: [{endpoint: 'https://hpc.example.com', access_key_id: A, secret_access_key: B}]\n"
        "clusters: [{cluster_id: a, zone: z}]\nlabels: {user: {exclude: ['[[a]x']}}\n"
    )
    with warnings.catch_warnings(record=True) as told:
        assert main(["check-config", f"--config.file={config}"]) == 0
    assert not told
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_lead_nowhere(closed: str, tmp_path: Path) -> None:
    """And no file that is opened later takes the place of one."""
    script = (
        "import os, sys\n"
        "from exporter.cli import entry\n"
        "entry._COMMANDS['check-config'] = lambda _: [print(1), print(2, file=sys.stderr), 7][-1]\n"
        "code = entry.main(['check-config'])\n"
        "os.fstat(0), os.fstat(1), os.fstat(2)\n"
        "sys.exit(code)"
    )
    (tmp_path / "script.py").write_text(script)
    shell = ["sh", "-c", f'exec "$0" -P "$1" {closed}', sys.executable, str(tmp_path / "script.py")]
    assert subprocess.run(shell, capture_output=True, check=False).returncode == 7


def test_sighup_during_a_start_waits_until_it_is_heeded(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    early: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: early.append(number))

    def start(*_: object) -> int:
        signal.raise_signal(signal.SIGHUP)
        with heeded([signal.SIGHUP]) as wait:
            assert wait(0.0) == {signal.SIGHUP}
        return 0

    def fail(*_: object) -> int:
        signal.raise_signal(signal.SIGHUP)
        raise StateError("it cannot start")

    try:
        monkeypatch.setattr("exporter.daemon.serve", start)
        assert main(["serve"]) == 0
        monkeypatch.setattr("exporter.daemon.serve", fail)
        assert main(["serve"]) == 1
        assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not early


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_sigterm_ends_a_start(
    command: str, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> int:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("not noticed")

    monkeypatch.setattr("exporter.daemon.serve", start)
    # To make the world of the demo, with its past, takes seconds.
    world, server = SimpleNamespace(cloud=SimpleNamespace(clusters={})), SimpleNamespace(address="")
    monkeypatch.setattr("exporter.cli.demo.build_simulation", lambda *_, **__: world)
    monkeypatch.setattr("exporter.cli.demo.SimulatorServer", lambda _: nullcontext(server))
    monkeypatch.setattr("exporter.cli.demo.guide", lambda *_: "")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main([command])
    assert ended.value.code == 0
    assert signal.getsignal(signal.SIGTERM) is before
