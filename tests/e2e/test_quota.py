"""The quota is not exceeded, whatever happens; a refusal for it is answered with silence."""

import random
import time
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from exporter.simulator import JournalEntry
from exporter.simulator.quota import Quota
from tests.e2e.churn import Churn, populate
from tests.e2e.running import Exporter, World, config_of, run_command
from tests.waiting import until

PERIOD_SECONDS = 5
SHARE = 40
"""Of eighty calls in a period; half of the quota is this exporter's."""
PERIODS = 1.6
"""So many shares are used up: there is more to ask than one period allows."""
QUOTA = {"requests": 2 * SHARE, "period": f"{PERIOD_SECONDS}s", "share": 0.5}
TIMEOUT = f"{PERIOD_SECONDS}s"
"""A call may arrive as late as that: the exporter lets as much more time pass before it calls again."""


def most_in_a_period(calls: Sequence[JournalEntry]) -> int:
    """The most calls that were signed within a window that surely is no longer than a period: in
    whole seconds, by a clock that a refusal may have put right by another one. How long they were
    on the way is left out of it."""
    signed = sorted(datetime.fromisoformat(entry.params["timestamp"]) for entry in calls)
    window = timedelta(seconds=PERIOD_SECONDS - 2)
    return max(place + 1 - bisect_right(signed, at - window) for place, at in enumerate(signed))


def test_never_a_call_beyond_the_share(tmp_path: Path) -> None:
    """Costly lists, changes, failures with retries, kills, a reload and looks from the command
    line, all at once: more is wanted than may be had, and all of the share is used."""
    rng = random.Random(5)
    dialects = {"a": "documented", "b": "nothing-honoured", "c": "sort-ignored", "d": "documented"}
    with World(quota=Quota(2 * SHARE, PERIOD_SECONDS)) as world:
        for number, (name, dialect) in enumerate(dialects.items()):
            populate(world.add(name, dialect).jobs, 1500, active=300, seed=number)
        churns = {name: Churn(world.jobs(name)) for name in dialects}
        world.simulation.meddle = lambda cluster_id: churns[cluster_id].stir(5)
        world.fault("ret-5000", probability=0.05)
        world.fault("close", probability=0.03)
        world.fault("ret-1300", probability=0.03)
        config = config_of(
            world.endpoint, list(dialects), state="state", quota=QUOTA, timeout=TIMEOUT
        )
        exporter = Exporter(tmp_path, config, "--web.enable-lifecycle").start()
        while len(world.calls()) < PERIODS * SHARE:
            time.sleep(rng.uniform(0.5, 2))
            act = rng.randrange(4)
            if act == 0:
                exporter.kill()
                exporter.start()
            elif act == 1:
                run_command("collect", f"--config.file={exporter.config_path}", "--cluster=d")
            elif act == 2:
                config["clusters"].reverse()
                config["collection"]["staleness"] = f"{rng.randrange(100, 999)}s"
                exporter.rewrite_config(config)
                assert exporter.get("/-/reload", method="POST")[0] == 200
        with exporter:
            calls = world.calls()
            assert most_in_a_period(calls) <= SHARE
            assert not [entry for entry in calls if entry.outcome == "2500"]
            assert exporter.scrape().value("ehpc_api_quota_requests") == SHARE
            used = until(lambda: exporter.scrape().value("ehpc_api_quota_used"), "calls")
            assert used <= SHARE


def test_the_interval_stretches_before_the_share_is_exceeded(tmp_path: Path) -> None:
    """Two cheap clusters keep their interval; the costly one stretches itself."""
    with World(quota=Quota(2 * SHARE, PERIOD_SECONDS)) as world:
        populate(world.add("cheap").jobs, 50, active=20)
        populate(world.add("costly", "nothing-honoured-arbitrary").jobs, 1200, active=300)
        config = config_of(world.endpoint, ["cheap", "costly"], quota=QUOTA, timeout=TIMEOUT)
        soon = {"exporter.daemon.cluster_log.LASTING_SECONDS": 1.0}
        with Exporter(tmp_path, config, constants=soon) as exporter:
            exporter.until_true({name: world.truth(name) for name in ("cheap", "costly")})
            # What the first syncs have cost, when nothing was known of the server, is forgotten soon.
            until(lambda: intervals_are_apart(exporter), "only the costly one to be stretched")
            told = until(
                lambda: exporter.log_lines("level=warn", "intervals are stretched"), "a line"
            )
            assert len(told) == 1
            assert most_in_a_period(world.calls()) <= SHARE


def intervals_are_apart(exporter: Exporter) -> bool:
    intervals = exporter.scrape().by("ehpc_effective_interval_seconds", "cluster_name")
    return intervals["cheap",] == 1 and intervals["costly",] > 1.5


def test_a_refusal_for_the_quota_is_answered_with_silence(tmp_path: Path) -> None:
    """All clusters of the account pause, through a kill and in every command; one careful call
    comes after the pause, and if it is refused, the pause grows."""
    pause_seconds = 4.0
    while not _it_is_silent_for(pause_seconds, tmp_path / f"{pause_seconds}"):
        pause_seconds *= 3  # a kill, a start and a command take longer here than that


def _it_is_silent_for(first_pause_seconds: float, place: Path) -> bool:
    """False if the pause was over before a command could meet it."""
    place.mkdir()
    clusters = ["a", "b", "c"]
    with World() as world:
        for name in clusters:
            populate(world.add(name).jobs, 130, active=30)
        truths = {name: world.truth(name) for name in clusters}
        config = config_of(world.endpoint, clusters, state="state")
        short = {"exporter.api.budget.FIRST_PAUSE_SECONDS": first_pause_seconds}
        exporter = Exporter(place, config, constants=short).start()
        exporter.until_true(truths)
        world.fault("ret-2500", next_calls=1)
        refused_at = until(lambda: [x for x in world.calls() if x.fault], "the refusal")[0].at
        until(lambda: all(exporter.scrape().up(name) == 0 for name in clusters), "all to be down")
        assert exporter.scrape().jobs() == truths
        exporter.kill()
        world.fault("ret-2500", next_calls=1)
        exporter.start()
        looked = run_command("collect", f"--config.file={exporter.config_path}")
        if [x for x in world.calls() if x.at > refused_at + first_pause_seconds - 0.5]:
            exporter.kill()
            return False
        assert looked.returncode == 1
        assert "quota.share" in looked.stderr
        careful = until(
            lambda: [x for x in world.calls() if x.at > refused_at + first_pause_seconds / 2],
            "another call",
        )
        assert careful[0].at > refused_at + first_pause_seconds - 0.5
        assert careful[0].fault == "ret-2500"
        with exporter:
            exporter.until_ready()
            assert exporter.scrape().jobs() == truths
            exporter.until_up(*clusters)
            after = [x for x in world.calls() if x.at > careful[0].at]
            assert after[0].at > careful[0].at + 2 * first_pause_seconds - 0.5, (
                "the pause has grown"
            )
            assert exporter.scrape().sum("ehpc_api_failures_total", reason="quota") == 1
            assert len(exporter.log_lines("could not be synced", "reason=quota")) <= 2 * len(
                clusters
            )
    return True
