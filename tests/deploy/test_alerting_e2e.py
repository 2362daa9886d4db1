"""From a job that waits to a message that a person reads, through the real programs.

A simulated cloud whose days pass in minutes, the exporter, Prometheus with the rules that people
deploy, Alertmanager with the routes that people deploy, and a receiver of webhooks. The queries of
docs/metrics.md are run on the same Prometheus.
"""

import argparse
import contextlib
import http.server
import json
import math
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from docs.generate_metrics import RECIPES, Recipe
from exporter.simulator import JobList, fill, parse_dialect
from exporter.simulator.command import add_arguments, build_simulation
from exporter.simulator.server import SimulatorServer
from exporter.simulator.simulation import Simulation
from tests.deploy.doc_queries import queries_of
from tests.deploy.fast_rules import write_alertmanager, write_prometheus
from tests.deploy.rule_files import OPERATIONS, ROOT
from tests.e2e.real_prometheus import fetch, query
from tests.e2e.running import KEY_ID, SECRET, Exporter, config_of
from tests.servers import kept_address, program
from tests.waiting import PATIENCE_SECONDS, until

Tool = Callable[[str], str]

WORLD_SPEED = 600
CLUSTER_ID = "ehpc-qmmvigwe"
UNSORTED_ID = "ehpc-unsorted"
"""Another server, which does less than documented; nothing happens there."""
QUEUE = "大内存 1T"
"""A queue of the test's own, with a single core: it starts a job every so often, come what may."""
RUN_SECONDS = 3 * WORLD_SPEED
USUAL_JOBS = 9
"""Too few to be a backlog, enough to keep the queue busy until one comes."""
BACKLOG_JOBS = 4000
README = ROOT / "README.md"
ONLY_WHEN_IT_FAILS = {"Which clusters cannot be read, and why?"}


class Receiver:
    """Takes webhooks and keeps what they say, by the name of the receiver that they are for."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.messages.append((self.path.lstrip("/"), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def listening(self) -> Iterator["Receiver"]:
        thread = threading.Thread(target=self._server.serve_forever, name="webhooks")
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def alert(
        self, receiver: str, status: str, since: int = 0, /, **labels: str
    ) -> dict[str, Any] | None:
        """The first such alert that has come, of the messages from the number ``since`` on."""
        for name, message in self.messages[since:]:
            for alert in message["alerts"]:
                if (name, alert["status"]) == (receiver, status) and (
                    labels.items() <= alert["labels"].items()
                ):
                    return dict(alert)
        return None


@dataclass(frozen=True)
class Stack:
    """All of it, running."""

    cloud: str
    prometheus: str
    receiver: Receiver

    def ask_cloud(self, method: str, path: str, body: object = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.cloud}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200

    def value(self, expression: str) -> float:
        """Of the first result; 0 if there is none."""
        found = query(self.prometheus, expression)
        return float(found[0]["value"][1]) if found else 0.0  # type: ignore[index]


def a_flying_world() -> Simulation:
    flags = argparse.ArgumentParser()
    add_arguments(flags)
    options = flags.parse_args(
        [
            "--clusters=1",
            "--quota-requests=0",
            f"--speed={WORLD_SPEED}",
            f"--access-key-id={KEY_ID}",
            f"--secret-access-key={SECRET}",
        ]
    )
    simulation = build_simulation(options, time.time())
    assert simulation.world is not None
    simulation.world.engines[CLUSTER_ID].add_queue(QUEUE, 1)
    jobs = JobList()
    fill(jobs, 300, active=20, now_at=time.time())
    unsorted = parse_dialect("sort-ignored-arbitrary")
    simulation.cloud.add_cluster(UNSORTED_ID, dialect=unsorted, jobs=jobs)
    return simulation


def submit_usual_jobs(simulation: Simulation) -> None:
    """What the queue is used to: some jobs, of which every third fails."""
    assert simulation.world is not None
    engine = simulation.world.engines[CLUSTER_ID]
    with simulation.lock:
        simulation.advance(time.time())
        for number in range(USUAL_JOBS):
            outcome = "finished" if number % 3 else "exited"
            engine.submit(
                int(engine.now_at), queue=QUEUE, user="李娜", cores=1, run_seconds=RUN_SECONDS,
                outcome=outcome,
            )  # fmt: skip


@contextlib.contextmanager
def running(directory: Path, require_tool: Tool) -> Iterator[Stack]:
    with contextlib.ExitStack() as stack:
        prometheus, alertmanager = (stack.enter_context(kept_address()) for _ in range(2))
        receiver = stack.enter_context(Receiver().listening())
        simulation = a_flying_world()
        cloud = stack.enter_context(SimulatorServer(simulation)).address
        clusters = {"cfd": CLUSTER_ID, "unsorted": UNSORTED_ID}
        groups = directory / "groups.csv"
        groups.write_text("李娜,chemistry\nusr-.*,guests\n")
        config = config_of(cloud, clusters, capacity_interval="10s")
        config["labels"] = {"user": {"groups_file": str(groups)}}
        exporter = stack.enter_context(Exporter(directory / "exporter", config))
        stack.enter_context(
            program(
                directory / "alertmanager.log",
                alertmanager,
                require_tool("prometheus-alertmanager"),
                f"--config.file={write_alertmanager(directory, receiver.address)}",
                f"--storage.path={directory / 'alertmanager'}",
                f"--web.listen-address={alertmanager}",
                "--cluster.listen-address=",
            )
        )
        rules = write_prometheus(directory, exporter.address, alertmanager)
        scraping = stack.enter_context(
            program(
                directory / "prometheus.log",
                prometheus,
                require_tool("prometheus"),
                f"--config.file={rules}",
                f"--storage.tsdb.path={directory / 'prometheus'}",
                f"--web.listen-address={prometheus}",
            )
        )
        exporter.until_up("cfd")
        submit_usual_jobs(simulation)
        yield Stack(cloud, scraping, receiver)


def test_a_backlog_and_an_outage_call_people(tmp_path: Path, require_tool: Tool) -> None:
    with running(tmp_path, require_tool) as stack:
        until(lambda: stack.value("cluster_queue:ehpc_jobs_pending:growth1h + 1"), "an hour")
        until(
            lambda: stack.value(f'cluster_queue:ehpc_jobs_started:pace{{queue="{QUEUE}"}}'),
            "the pace of the queue",
        )
        queries_find_data(stack, [x for x in RECIPES if x.question not in ONLY_WHEN_IT_FAILS])
        queries_of_the_pages_are_understood(stack)
        backlog_is_told_and_its_end(stack)
        outage_is_told_and_its_end(stack)
        rules_are_healthy(stack)


def backlog_is_told_and_its_end(stack: Stack) -> None:
    labels = {"alertname": "EhpcBacklogGrowing", "cluster_name": "cfd", "queue": QUEUE}
    assert stack.receiver.alert("hpc-team", "firing", **labels) is None
    asked = {
        "cluster_id": CLUSTER_ID, "queue": QUEUE, "jobs": BACKLOG_JOBS, "user": "zhangwei",
        "run_seconds": RUN_SECONDS,
    }  # fmt: skip
    stack.ask_cloud("POST", "/-/backlog", asked)
    alert = until(
        lambda: stack.receiver.alert("hpc-team", "firing", **labels), "the message of a backlog"
    )
    texts = alert["annotations"]
    grown = re.fullmatch(
        rf"The backlog of queue {QUEUE} on cfd grows: (\d+) more jobs wait than an hour ago",
        texts["summary"],
    )
    assert grown, texts
    assert BACKLOG_JOBS * 0.9 < int(grown[1]) < BACKLOG_JOBS * 1.1
    assert re.fullmatch(
        r"\d+ jobs wait now\. The queue starts about [\d.]+k? an hour\. "
        r"\d+ of them belong to zhangwei, more than to anyone else\.",
        texts["description"],
    ), texts
    assert texts["runbook_url"].endswith("operations.md#ehpcbackloggrowing")
    stack.ask_cloud(
        "DELETE", f"/-/backlog?cluster_id={CLUSTER_ID}&queue=%E5%A4%A7%E5%86%85%E5%AD%98"
    )
    until(
        lambda: stack.receiver.alert("hpc-team", "resolved", **labels),
        "the message that the backlog is gone",
    )


def outage_is_told_and_its_end(stack: Stack) -> None:
    labels = {"alertname": "EhpcClusterNotSynced", "cluster_name": "cfd", "account": "default"}
    assert stack.receiver.alert("monitoring-oncall", "firing", **labels) is None
    stack.ask_cloud("POST", "/-/faults", {"name": "ret-1200"})
    alert = until(
        lambda: stack.receiver.alert("monitoring-oncall", "firing", **labels),
        "the message of an outage",
    )
    assert 'The reason is "authentication".' in alert["annotations"]["description"]
    queries_find_data(stack, [x for x in RECIPES if x.question in ONLY_WHEN_IT_FAILS])
    stack.ask_cloud("DELETE", "/-/faults")
    until(
        lambda: stack.receiver.alert("monitoring-oncall", "resolved", **labels),
        "the message that the cluster is seen again",
    )


def queries_find_data(stack: Stack, recipes: list[Recipe]) -> None:
    """Every query gives numbers, sooner or later: something must have failed before its share is
    known."""
    for recipe in recipes:
        until(partial(numbers, stack, recipe.query), f"data of {recipe.query}")


def queries_of_the_pages_are_understood(stack: Stack) -> None:
    """Those with the names of somebody's cluster find nothing here, but must be queries."""
    asked = [each for path in (OPERATIONS, README) for each in queries_of(path.read_text())]
    assert len(asked) > 10
    for expression in asked:
        query(stack.prometheus, expression)


def numbers(stack: Stack, expression: str) -> bool:
    """Whether there is a result, and every one of it is a number."""
    found = [float(each["value"][1]) for each in query(stack.prometheus, expression)]  # type: ignore[index]
    return any(math.isfinite(value) for value in found)


def rules_are_healthy(stack: Stack) -> None:
    """No rule has failed, as one does that finds two series where it needs one."""
    answer = json.loads(fetch(f"{stack.prometheus}/api/v1/rules"))
    all_rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    assert len(all_rules) > 40
    assert not [(r["name"], r.get("lastError")) for r in all_rules if r["health"] != "ok"]
