"""Kills and restarts: nothing is lost, nothing counted twice, and few calls are needed."""

import itertools
import random
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

from exporter.simulator import END_STATUSES, JobList
from tests.e2e.churn import QUEUES, USERS, populate
from tests.e2e.running import Exporter, World, config_of
from tests.waiting import PATIENCE_SECONDS, until

PAGE_STEP = 99
"""Jobs that a page of a walk shows anew: consecutive pages overlap by one."""


def synced_since(exporter: Exporter, moment_at: float) -> bool:
    synced_at = exporter.scrape().value("ehpc_last_sync_success_timestamp_seconds")
    return (synced_at or 0) > moment_at


class Model:
    """Submits, starts and ends jobs, and counts what a ledger must have counted."""

    def __init__(self, jobs: JobList, seed: int) -> None:
        self._jobs = jobs
        self._rng = random.Random(seed)
        self._active = [job.uuid for job in jobs.jobs() if job.status in {"pending", "running"}]
        self.submitted: Counter[tuple[str, ...]] = Counter()
        self.started: Counter[tuple[str, ...]] = Counter()
        self.ended: Counter[tuple[str, ...]] = Counter()

    def change(self) -> None:
        """One transition, now."""
        at = time.time()
        lot = self._rng.random()
        if lot < 0.4 or not self._active:
            queue = self._rng.choice(QUEUES)
            uuid = self._jobs.submit(at, queue=queue, user=self._rng.choice(USERS))
            self._active.append(uuid)
            self.submitted[queue,] += 1
            return
        uuid = self._rng.choice(self._active)
        job = self._jobs.get(uuid)
        if lot < 0.45:
            self._jobs.cancel(uuid, at)
        elif job.status == "pending":
            self._jobs.start(uuid, at)
            self.started[job.queue,] += 1
        else:
            self._jobs.end(uuid, at, self._rng.choice(("finished", "exited")))
        job = self._jobs.get(uuid)
        if job.status in END_STATUSES:
            self._active.remove(uuid)
            self.ended[job.queue, job.status] += 1

    def agrees(self, exporter: Exporter) -> bool:
        """Whether the counters are these, to the last one."""
        metrics = exporter.scrape()
        return (
            metrics.by("ehpc_jobs_submitted_total", "queue") == self.submitted
            and metrics.by("ehpc_jobs_started_total", "queue") == self.started
            and metrics.by("ehpc_jobs_ended_total", "queue", "status") == self.ended
        )


def test_kills_at_any_moment_lose_and_double_nothing(tmp_path: Path) -> None:
    """The jobs go on while the process is killed and started again and again."""
    rng = random.Random(7)
    with World(latency_seconds=0.01) as world:
        jobs = world.add("c").jobs
        populate(jobs, 900, active=150)
        config = config_of(world.endpoint, ["c"], state="state")
        exporter = Exporter(tmp_path, config).start()
        exporter.until_true({"c": world.truth("c")})
        time.sleep(2)  # what happens in the very second in which a ledger begins is not counted
        model = Model(jobs, seed=3)
        over = threading.Event()

        def live() -> None:
            while not over.wait(0.02):
                with world.lock:
                    model.change()

        life = threading.Thread(target=live, name="life")
        life.start()
        try:
            for _ in range(6):
                time.sleep(rng.uniform(0, 1.2))
                exporter.kill()
                exporter.start()
        finally:
            over.set()
            life.join()
        with exporter:
            exporter.until_true({"c": world.truth("c")})
            until(lambda: model.agrees(exporter), "the counters to be those of the model")
            assert model.submitted.total() > 50
            assert model.ended.total() > 20
            assert "set aside" not in exporter.log()


def test_kills_while_the_history_is_read(tmp_path: Path) -> None:
    """It goes on where it was: a kill costs no more than the pages not yet written down."""
    with World(latency_seconds=0.02) as world:
        populate(world.add("b").jobs, 7000, active=120)
        config = config_of(
            world.endpoint, ["b"], state="state", audit_interval="10m", interval="5s"
        )
        exporter = Exporter(tmp_path, config)
        for kill in range(3):
            exporter.start()
            if kill == 0:
                # The first kill strikes while it finds out whether the list is sorted.
                until(lambda: exporter.scrape().up("b"), "the first sync")
                world.server.latency_seconds = 1.0
                until(lambda: world.calls()[-1].params["offset"] > "1", "a look further down")
            else:
                kill_at_call(world, exporter, 32)
            exporter.kill()
            world.server.latency_seconds = 0.02
        calls = len(world.calls())
        with exporter:
            exporter.until_true({"b": world.truth("b")})
        # Two lives have read thirty pages each, and have written down twenty or more.
        offsets = [int(entry.params["offset"]) for entry in world.calls()[calls:]]
        assert offsets[1] > 30 * PAGE_STEP, offsets
        assert len(world.calls()) < 130


def kill_at_call(world: World, exporter: Exporter, number: int) -> None:
    """So many calls from now on."""
    left = itertools.count(number, -1)
    killed = threading.Event()

    def meddle(_: str) -> None:
        if next(left) == 0:
            exporter.process.kill()
            killed.set()

    world.simulation.meddle = meddle
    assert killed.wait(PATIENCE_SECONDS)
    world.simulation.meddle = lambda _: None


def test_a_restart_costs_what_has_changed(tmp_path: Path) -> None:
    """At most 2 + ceil(changes / 99) calls until all is current again."""
    with World() as world:
        hosted = world.add("c")
        populate(hosted.jobs, 2500, active=300)
        config = config_of(
            world.endpoint, {"b": "c"}, state="state", audit_interval="10m", interval="5s"
        )
        exporter = Exporter(tmp_path, config).start()
        exporter.until_true({"b": world.truth("c")})
        until(
            lambda: exporter.scrape().value("ehpc_sync_strategy", strategy="delta") == 1,
            "the way that needs few calls",
        )
        # No second sync before the calls of the first one are counted.
        config["collection"]["interval"] = "10m"
        exporter.rewrite_config(config)
        for changes in (0, 40, 250):
            exporter.kill()
            with world.lock:
                model = Model(hosted.jobs, seed=changes)
                for _ in range(changes):
                    model.change()
            calls_before = len(world.calls())
            restarted_at = time.time()
            exporter.start()
            until(partial(synced_since, exporter, restarted_at), "the first sync")
            calls = len(world.calls()) - calls_before
            assert calls <= 2 + -(-changes // PAGE_STEP), f"{changes} changes"
            assert exporter.scrape().jobs() == {"b": world.truth("c")}
        with exporter:
            pass


def test_a_restart_shows_at_once_what_was_true_a_moment_ago(tmp_path: Path) -> None:
    """Also where the cloud is out of reach just then."""
    with World() as world:
        populate(world.add("c").jobs, 330, active=50)
        config = config_of(world.endpoint, ["c"], state="state")
        exporter = Exporter(tmp_path, config).start()
        exporter.until_true({"c": world.truth("c")})
        exporter.stop()
        truth = world.truth("c")
    with exporter.start():
        exporter.until_ready()
        metrics = exporter.scrape()
        assert metrics.up("c") == 0
        assert metrics.jobs() == {"c": truth}
