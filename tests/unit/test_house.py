"""Rules of the house that no linter knows."""

import ast
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import exporter
from tests.unit.conftest import needs_the_cloud

HOUSE = Path(__file__).resolve().parents[2] / "exporter"
ARCHITECTURE = (HOUSE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
FILES = {path.relative_to(HOUSE).as_posix(): path for path in sorted(HOUSE.rglob("*.py"))}

REAL_TIME = {
    ("time", "time"), ("time", "time_ns"), ("time", "sleep"), ("datetime", "now"),
    ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
}  # fmt: skip
MAY_READ_TIME = ("clock.py", "simulator/")
READ_IN_ONE_THREAD = ("config/", "simulator/")

INPUT_OUTPUT = {
    "asyncio", "http", "io", "multiprocessing", "os", "pathlib", "requests", "select", "selectors",
    "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading",
    "urllib3",
}  # fmt: skip
IMPURE = {
    "threads, and locks between them": (
        "api/budget.py", "api/lists.py", "clock.py", "daemon/cluster_log.py", "simulator/simulation.py",
        "snapshot.py", "telemetry.py", "web/exposition.py", "web/threads.py",
    ),
    "the network": (
        "api/deadline.py", "api/transport.py", "api/trust.py", "simulator/command.py",
        "simulator/server.py", "web/access.py", "web/connection.py", "web/listening.py",
        "web/server.py", "web/tls.py",
    ),
    "files": (
        "config/groups.py", "config/load.py", "daemon/groups.py", "files.py", "ledger/state_files.py",
        "ledger/directory.py", "ledger/discovered.py",
        "ledger/published.py", "ledger/spending.py", "web/look.py", "web/manual.py",
        "web/web_config.py",
    ),
    "the database": (
        "ledger/connection.py", "ledger/counters.py", "ledger/jobs.py", "ledger/marks.py",
        "ledger/former.py", "ledger/remembered.py", "ledger/schema.py", "ledger/store.py", "ledger/suspects.py",
        "ledger/ledger.py", "ledger/text_ids.py",
    ),
    "the process: its signals, streams and environment": (
        "cli/demo.py", "cli/doctor/page.py", "cli/entry.py", "daemon/accounts.py",
        "daemon/service.py", "daemon/signals.py", "logs.py",
    ),
    "names of files that others open": (
        "cli/arguments.py", "cli/doctor/command.py", "config/values.py",
    ),
}  # fmt: skip
"""What a module has to do with the world; all that are not here are pure. They may still be handed
something that is not: a transport, a clock, a ledger."""
TESTS = HOUSE.parent / "tests"
MAP = (TESTS / "README.md").read_text(encoding="utf-8")
MAP_OF_THE_OTHERS = MAP.partition("Tests that are named after no module")[2].partition("\n## ")[0]
MIRRORS = ("unit", "simulator")
"""Parts of the tests that have the house's own shape."""
TEST_FILES = sorted(TESTS.rglob("test_*.py"))
WAITING = [path for each in ("e2e", "deploy", "simulator") for path in (TESTS / each).rglob("*.py")]
"""Tests of real processes and sockets: what they wait for is in ``tests/waiting.py``."""
MEASURE_THE_MACHINE = {"running.py", "test_quota.py"}
SHAPELESS = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), path.name)


def tree_of(name: str) -> ast.Module:
    return parsed(FILES[name])


def offences(found: Mapping[Any, Collection[Any]]) -> dict[str, Collection[Any]]:
    """The files in which something was found, for the message of a test: one test looks at all of
    them, as each test costs more than a look at a file."""
    return {str(name): each for name, each in found.items() if each}


def imported(tree: ast.Module) -> set[str]:
    """Top-level packages that a module imports anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def time_readers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (
                f"from time import {a.name}" for a in node.names if ("time", a.name) in REAL_TIME
            )
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        owner_name = getattr(owner, "id", getattr(owner, "attr", ""))
        if (owner_name, node.attr) in REAL_TIME:
            yield f"{owner_name}.{node.attr} on line {node.lineno}"


def yields_only(tree: ast.Module) -> set[str]:
    """``time.sleep(0)`` lets other threads run; it waits for nothing."""
    return {
        f"time.sleep on line {node.func.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and [getattr(argument, "value", None) for argument in node.args] == [0]
    }


def deadlines(tree: ast.Module) -> Iterator[str]:
    """What makes a test depend on how fast the machine is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"monotonic", "perf_counter"}:
            yield f"{node.attr} on line {node.lineno}"
        if isinstance(node, ast.Call):
            named = [each.value for each in node.keywords if each.arg == "timeout"]
            if getattr(node.func, "attr", "") in {"join", "wait"}:
                named += node.args
            yield from (
                f"{ast.unparse(value)} s on line {node.lineno}"
                for value in named
                if isinstance(value, ast.Constant)
                and isinstance(value.value, int | float)
                and value.value >= 1  # else it is how often something is done
            )


def unnamed_threads(tree: ast.Module) -> Iterator[int]:
    wanted = {"Thread": "name", "ThreadPoolExecutor": "thread_name_prefix"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in wanted and wanted[called] not in {k.arg for k in node.keywords}:
                yield node.lineno


def learners(tree: ast.AST) -> Iterator[int]:
    """Lines that decode into a type with no decoder made before."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            typed = node.func.attr == "decode" and "type" in {each.arg for each in node.keywords}
            if typed or ast.unparse(node.func) == "msgspec.convert":
                yield node.lineno


def test_only_the_clock_reads_real_time() -> None:
    trees = {name: tree_of(name) for name in FILES if not name.startswith(MAY_READ_TIME)}
    assert not offences({n: set(time_readers(t)) - yields_only(t) for n, t in trees.items()})


def test_modules_are_pure_but_for_those_that_are_listed() -> None:
    listed = sorted(name for names in IMPURE.values() for name in names)
    assert sorted(name for name in FILES if imported(tree_of(name)) & INPUT_OUTPUT) == listed


def test_the_first_line_of_a_test_file_says_what_it_promises() -> None:
    files = [path for path in TESTS.rglob("*.py") if path.stat().st_size]
    assert not [path for path in files if not ast.get_docstring(parsed(path))]


def own_test(module: str) -> Path:
    """Where the tests of a module are, if they have a file of its name."""
    place = Path(module)
    name = f"test_{place.stem}.py"
    if place.parts[0] == "simulator":
        return TESTS / place.with_name(name)
    return TESTS / "unit" / place.with_name(name)


def named_after_a_module(path: Path) -> bool:
    """``test_x.py`` is of the module or package ``x``, and so is ``test_x_of_something.py``."""
    place = path.relative_to(TESTS / "unit" if path.is_relative_to(TESTS / "unit") else TESTS)
    words = place.stem.removeprefix("test_").split("_")
    names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
    modules = [HOUSE / place.with_name(name) for name in names]
    return any(module.with_suffix(".py").exists() or module.is_dir() for module in modules)


def test_every_module_has_its_tests() -> None:
    """In a file of its name, or in those that the map names."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", MAP, re.MULTILINE)
    mapped = {name for row, _ in rows for name in re.findall(r"`([\w/]+\.py)`", row)}
    mapped = {name for name in mapped if "test_" not in name}
    without = {
        name for name in FILES
        if not name.endswith("__init__.py") and not own_test(name).exists()
    }  # fmt: skip
    assert mapped == without
    for named in re.findall(r"`(tests/[\w/.]+)`", MAP):
        assert (TESTS.parent / named).exists(), named


def test_every_test_file_is_named_after_a_module_or_is_on_the_map() -> None:
    files = [path for path in TEST_FILES if path.relative_to(TESTS).parts[0] in MIRRORS]
    others = {path.name for path in files if not named_after_a_module(path)}
    assert others == set(re.findall(r"`(?:tests/[\w/]+/)?(test_\w+\.py)`", MAP_OF_THE_OTHERS))


def test_what_tests_share_is_in_no_test_file() -> None:
    assert not offences({path: taken_from_tests(parsed(path)) for path in TEST_FILES})


def taken_from_tests(tree: ast.Module) -> list[str]:
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [each for each in modules if re.search(r"\btest_\w+$", each)]


def test_no_test_waits_for_seconds() -> None:
    files = [path for path in WAITING if path.name not in MEASURE_THE_MACHINE]
    assert not offences({path: set(deadlines(parsed(path))) for path in files})


def test_both_maps_of_the_house_name_all_that_stands_in_it() -> None:
    house = {path.split("/")[0].removesuffix(".py") for path in FILES} - {"__init__", "__main__"}
    in_the_program = re.findall(r"^([a-z_]+)  +", exporter.__doc__ or "", re.MULTILINE)
    plan = (line[:20] for line in ARCHITECTURE.split("```")[1].splitlines()[2:])
    on_the_page = [name for names in plan for name in re.findall(r"[a-z_]+(?=/|\.py)", names)]
    assert house <= set(in_the_program)
    assert sorted(house) == sorted(on_the_page)


def test_the_page_tells_the_order_of_imports_that_is_kept() -> None:
    contracts = tomllib.loads((HOUSE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(each["layers"] for each in contracts["contracts"] if each["id"] == "floors")
    kept = [set(re.findall(r"\w+", layer)) for layer in layers if layer != "__main__"]
    (told,) = re.findall(r"in this order:\n\n```\n(.*?)```", ARCHITECTURE, re.DOTALL)
    assert [set(re.findall(r"\w+", layer)) for layer in told.split(">")] == kept


def test_every_thread_has_a_name() -> None:
    assert not offences({name: list(unnamed_threads(tree_of(name))) for name in FILES})


def test_decoders_are_made_when_modules_are_loaded() -> None:
    """msgspec learns a type at its first use, and two threads that do so at once crash the process."""
    names = [name for name in FILES if not name.startswith(READ_IN_ONE_THREAD)]
    assert not offences({name: list(learners(tree_of(name))) for name in names})


def test_the_simulated_cloud_imports_nothing_of_ours() -> None:
    names = [name for name in FILES if name.startswith("simulator/")]
    assert names
    assert not offences({name: imports_of_ours(tree_of(name)) for name in names})


def imports_of_ours(tree: ast.Module) -> list[str]:
    """What a module takes from the exporter, but for the simulated cloud."""
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [each for each in modules if each.partition(".")[0] == "exporter"]
    return [each for each in ours if not each.startswith("exporter.simulator")]


def test_the_tests_that_need_the_simulated_cloud_are_found() -> None:
    """The others are what ``make test-fast`` runs."""
    unit = TESTS / "unit"
    files = {path.relative_to(unit).as_posix(): path for path in unit.rglob("test_*.py")}
    slow = {name for name, path in files.items() if needs_the_cloud(path)}
    assert {"cli/test_demo.py", "sync/test_reconcile.py", "ledger/test_damage.py"} <= slow
    assert not {"test_house.py", "api/test_budget.py", "ledger/test_store.py"} & slow


def test_no_file_has_a_shapeless_name() -> None:
    words = {word for name in FILES for word in name.removesuffix(".py").split("/")}
    assert not words & SHAPELESS


def test_the_rules_can_be_broken() -> None:
    bad = ast.parse(
        "import time, datetime\nfrom time import sleep\nimport socket\n"
        "time.time()\ntime.sleep(1)\ntime.sleep(0)\ndatetime.datetime.now()\n"
        "threading.Thread(target=f)\nThreadPoolExecutor(2)\n"
    )
    assert sorted(set(time_readers(bad)) - yields_only(bad)) == [
        "datetime.now on line 7",
        "from time import sleep",
        "time.sleep on line 5",
        "time.time on line 4",
    ]
    assert imported(bad) & INPUT_OUTPUT == {"socket"}
    slow = ast.parse(
        "f(timeout=5)\nf(timeout=PATIENCE)\ntime.monotonic()\nx.wait(30)\nx.wait(0.1)\n','.join(x)"
    )
    assert sorted(deadlines(slow)) == ["30 s on line 4", "5 s on line 1", "monotonic on line 3"]
    assert list(unnamed_threads(bad)) == [8, 9]
    late = ast.parse(
        "msgspec.json.decode(x)\nmsgspec.json.decode(x, type=T)\nmsgspec.convert(x, T)"
    )
    assert list(learners(late)) == [2, 3]
    assert imports_of_ours(
        ast.parse("from exporter.model import Job\nfrom exporter.simulator import x")
    ) == ["exporter.model"]
    assert taken_from_tests(ast.parse("from tests.unit.test_x import y")) == ["tests.unit.test_x"]
    assert offences({"a.py": [1], "b.py": []}) == {"a.py": [1]}
