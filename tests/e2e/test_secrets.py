"""Neither keys nor signatures nor what people run is ever shown, logged or stored."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from exporter.simulator import CONTENT_MARK
from tests.e2e.churn import Churn, populate
from tests.e2e.running import (
    KEY_ID,
    SECRET,
    Exporter,
    World,
    config_of,
    run_command,
    write_config,
)
from tests.waiting import until

FAULTS = (
    "ret-1200", "ret-1300", "ret-2100", "ret-5000", "http-404", "http-502", "html", "truncated-json",
    "json-string", "no-identity", "status-number", "duplicate-records", "not-utf8", "text-cores",
    "close", "reset-midway", "redirect", "garbage", "length-too-short", "surrogate-in-name",
)  # fmt: skip
NO_FAILURES = {"text-cores", "no-identity", "status-number", "not-utf8", "surrogate-in-name"}


def test_secrets_and_contents_are_nowhere(tmp_path: Path) -> None:
    """At the most talkative log level, with failures of every kind among the calls."""
    with World() as world:
        clusters = ["well", *FAULTS]
        for number, name in enumerate(clusters):
            populate(world.add(name).jobs, 130, active=40, seed=number)
        config = config_of(
            world.endpoint, clusters, state="state", secret="${THE_SECRET}", key_id="${THE_KEY_ID}"
        )
        environ = {"THE_SECRET": SECRET, "THE_KEY_ID": KEY_ID}
        flags = ("--log.level=debug", "--web.enable-lifecycle")
        with Exporter(tmp_path, config, *flags, environ=environ) as exporter:
            exporter.until_true({name: world.truth(name) for name in clusters})
            with world.lock:
                for fault in FAULTS:
                    Churn(world.jobs(fault)).stir(10)
                    world.cloud.faults.add(fault, cluster_id=fault)
            failing = {*FAULTS} - NO_FAILURES
            until(
                lambda: {x for x in failing if exporter.scrape().up(x) == 0} == failing,
                "all of them to fail",
            )
            assert exporter.get("/-/reload", method="POST")[0] == 200
            exporter.rewrite_config(config_of(world.endpoint, clusters, interval="nonsense"))
            _, refused = exporter.get("/-/reload", method="POST")
            assert "nonsense" in refused
            shown = {
                "metrics": exporter.get("/metrics")[1],
                "page": exporter.get("/")[1],
                "reload": refused,
                "arguments": Path(f"/proc/{exporter.process.pid}/cmdline").read_text(),
            }
            for path in (tmp_path / "state").iterdir():
                with contextlib.suppress(FileNotFoundError):  # one was just replaced by another
                    shown[f"state/{path.name}"] = path.read_bytes().decode("latin-1")
            exporter.stop()
        shown["log"] = exporter.log()
        shown |= dumped(tmp_path / "state")
        assert "default.calls" in "".join(shown)
        assert sum(name.startswith("rows of ") for name in shown) == len(clusters)
        with world.lock:
            forbidden = {CONTENT_MARK, *forms(SECRET), *forms(KEY_ID), "signature="}
            for query in world.simulation.queries:
                forbidden |= forms(unquote(unquote(query.rpartition("signature=")[2])))
        assert len(forbidden) > 50
        for where, text in shown.items():
            found = [each for each in forbidden if each in text]
            assert not found, f"in {where}: {found[:3]}"


@pytest.mark.parametrize(
    ("fault", "exit_code"),
    [("duplicate-records", 1), ("status-number", 0), ("surrogate-in-name", 0)],
)
def test_an_odd_answer_is_not_repeated_on_the_command_line(
    tmp_path: Path, fault: str, exit_code: int
) -> None:
    with World() as world:
        populate(world.add("c").jobs, 130, active=40)
        world.fault(fault)
        path = write_config(tmp_path, config_of(world.endpoint, ["c"]))
        ended = run_command("collect", f"--config.file={path}", "--log.level=debug")
        assert ended.returncode == exit_code
        for text in (CONTENT_MARK, SECRET, KEY_ID, "signature="):
            assert text not in ended.stdout + ended.stderr


def forms(secret: str) -> set[str]:
    """The secret as URLs spell it, too."""
    once = "".join(x if x.isalnum() or x in "-_.~" else f"%{ord(x):02X}" for x in secret)
    return {secret, once, once.replace("%", "%25")}


def dumped(directory: Path) -> dict[str, str]:
    """Every value of every ledger, whatever pages it is spread over."""
    texts = {}
    for path in directory.glob("*.ledger"):
        with ledger(path) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            texts[f"rows of {path.name}"] = repr(
                [
                    connection.execute(f"SELECT * FROM {table}").fetchall()
                    for (table,) in tables.fetchall()
                ]
            )
    assert texts
    return texts


@contextlib.contextmanager
def ledger(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone()[0] > 100
        yield connection
