"""The configuration changes under way: by SIGHUP and by POST /-/reload."""

import base64
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bcrypt
import trustme

from tests.e2e.churn import populate
from tests.e2e.running import Exporter, Metrics, World, config_of
from tests.waiting import until

SUCCESSFUL = "ehpc_exporter_config_last_reload_successful"
SUCCESS_AT = "ehpc_exporter_config_last_reload_success_timestamp_seconds"

HASH = bcrypt.hashpw(b"wonderland", bcrypt.gensalt(4)).decode()


def restarts_of(world: World, cluster_id: str, since: float) -> int:
    """How often its list was read from an empty ledger: a page further down is only read then."""
    return sum(
        entry.at > since and entry.params.get("offset") == "99" for entry in world.calls(cluster_id)
    )


def names_in(metrics: Metrics) -> set[str]:
    """Every cluster that is named anywhere in the text."""
    return {
        sample.labels["cluster_name"]
        for family in metrics.families()
        for sample in family.samples
        if "cluster_name" in sample.labels
    }


def config(world: World, clusters: Mapping[str, str], **more: Any) -> dict[str, Any]:
    return config_of(world.endpoint, clusters, state="state", audit_interval="10m", **more)


def test_clusters_come_go_and_are_renamed(tmp_path: Path) -> None:
    with World() as world:
        for number, name in enumerate(("one", "two", "three", "four")):
            populate(world.add(name).jobs, 330, active=40, seed=number)
        exporter = Exporter(tmp_path, config(world, {"a": "one", "b": "two", "c": "three"}))
        with exporter:
            exporter.until_true({"a": world.truth("one"), "b": world.truth("two")})
            exporter.until_up("a", "b", "c")
            until(lambda: exporter.scrape().sum("ehpc_history_complete") == 3, "the whole history")
            with world.lock:
                uuid = world.jobs("two").submit(time.time() + 2, queue="q", user="u")
                world.jobs("two").start(uuid, time.time() + 3)
            until(
                lambda: exporter.scrape().sum("ehpc_jobs_started_total", cluster_name="b") == 1,
                "the start to be counted",
            )
            syncs = exporter.scrape().value("ehpc_syncs_total", cluster_name="a") or 0
            changed_at = time.time()
            # a stays, b is renamed to B, c leaves, d comes.
            exporter.rewrite_config(config(world, {"a": "one", "B": "two", "d": "four"}))
            exporter.process.send_signal(signal.SIGHUP)
            truths = {
                "a": world.truth("one"), "B": world.truth("two"), "d": world.truth("four"),
            }  # fmt: skip
            metrics = exporter.until_true(truths)
            assert names_in(metrics) == {"a", "B", "d"}
            assert metrics.value(SUCCESSFUL) == 1
            assert (metrics.value("ehpc_syncs_total", cluster_name="a") or 0) >= syncs
            # The ledger of a cluster is its own, whatever it is called.
            assert metrics.sum("ehpc_jobs_started_total", cluster_name="B") == 1
            assert restarts_of(world, "one", changed_at) == 0
            assert restarts_of(world, "two", changed_at) == 0
            until(lambda: exporter.log_lines("the configuration was reloaded"), "it to be told")
            calls = len(world.calls("three"))
            for _ in exporter.scrapes(truths, turns=8):
                pass
            assert len(world.calls("three")) == calls, "nobody asks for what has left"
            assert len(exporter.log_lines("the configuration was reloaded")) == 1


def test_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    with World() as world:
        populate(world.add("one").jobs, 330, active=40)
        good = config(world, {"a": "one"})
        with Exporter(tmp_path, good, "--web.enable-lifecycle") as exporter:
            exporter.until_true({"a": world.truth("one")})
            loaded_at = exporter.scrape().value(SUCCESS_AT)
            assert loaded_at
            bad = config(world, {"a": "one"}, labels={"user": {"mode": "nmae"}})
            exporter.rewrite_config(bad)
            status, text = exporter.get("/-/reload", method="POST")
            assert status == 500
            assert 'labels.user.mode: "nmae" must be hash, name or off' in text
            exporter.process.send_signal(signal.SIGHUP)
            until(
                lambda: len(exporter.log_lines("level=error", "was not reloaded")) == 2, "the log"
            )
            # What is about the exporter itself is rendered once a second.
            until(lambda: exporter.scrape().value(SUCCESSFUL) == 0, "the failure to be shown")
            assert exporter.scrape().value(SUCCESS_AT) == loaded_at
            with world.lock:
                world.jobs("one").submit(time.time(), queue="q", user="u")
            exporter.until_true({"a": world.truth("one")})
            moved = config(world, {"a": "one"})
            moved["state"]["path"] = "elsewhere"
            exporter.rewrite_config(moved)
            status, text = exporter.get("/-/reload", method="POST")
            assert (status, "state.path" in text) == (500, True)
            exporter.rewrite_config(good)
            assert exporter.get("/-/reload", method="POST")[0] == 200
            until(lambda: exporter.scrape().value(SUCCESSFUL) == 1, "the success to be shown")


def test_a_reload_does_not_open_what_was_closed(tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{alice: {HASH}}}\n")
    flags = ("--web.enable-lifecycle", f"--web.config.file={web}")
    right = {"Authorization": "Basic " + base64.b64encode(b"alice:wonderland").decode()}
    with World() as world:
        populate(world.add("one").jobs, 30, active=4)
        with Exporter(tmp_path, config(world, {"a": "one"}), *flags) as exporter:

            def reload() -> tuple[int, str]:
                return exporter.get("/-/reload", method="POST", headers=right)

            for nothing in ("", "null\n", "basic_auth_users:\n"):
                web.write_text(nothing)
                status, text = reload()
                assert (status, "everybody" in text) == (500, True)
                assert exporter.get("/metrics")[0] == 401
            write_certificate(tmp_path)
            files = "{cert_file: server.pem, key_file: server.key}"
            web.write_text(f"basic_auth_users: {{alice: {HASH}}}\ntls_server_config: {files}\n")
            status, text = reload()
            assert (status, "tls_server_config: cannot come" in text) == (500, True)
            web.write_text(f"basic_auth_users: {{bob: {HASH}}}\n")
            assert reload()[0] == 200
            assert exporter.get("/metrics", headers=right)[0] == 401


def test_who_is_shown_and_in_which_group(tmp_path: Path) -> None:
    """Filters and labels by a reload, groups by their file; counters come back as they have to."""
    with World() as world:
        jobs = world.add("one").jobs
        at = int(time.time())
        for user, queue in (("li", "q"), ("root", "q"), ("li", "debug")):
            jobs.submit(at - 60, queue=queue, user=user, cores=2)
        groups = tmp_path / "groups.csv"

        def group(text: str) -> None:
            """In one step: it is read at any moment."""
            (tmp_path / "new").write_text(text)
            (tmp_path / "new").replace(groups)

        group("li,chemistry\n")

        def written(users: list[str], queues: list[str]) -> dict[str, Any]:
            user = {"groups_file": "groups.csv", "exclude": users}
            made = config(world, {"a": "one"}, labels={"user": user, "queue": {"exclude": queues}})
            made["clusters"][0]["labels"] = {"site": "jinan"}
            return made

        def shown() -> set[tuple[str, ...]]:
            return set(exporter.scrape().by("ehpc_jobs", "queue", "user"))

        def grouped() -> set[tuple[str, ...]]:
            return set(exporter.scrape().by("ehpc_user_info", "user", "group"))

        def used() -> float | None:
            return exporter.scrape().value("ehpc_job_core_seconds_total", queue="debug", user="li")

        with Exporter(tmp_path, written([], [])) as exporter:
            everything = {("q", "li"), ("q", "root"), ("debug", "li")}
            until(lambda: shown() == everything, "all to be shown")
            until(lambda: grouped() == {("li", "chemistry"), ("root", "_none")}, "the groups")
            assert exporter.scrape().value("ehpc_cluster_info", site="jinan") == 1
            exporter.rewrite_config(written(["root"], ["debug"]))
            exporter.process.send_signal(signal.SIGHUP)
            until(lambda: shown() == {("q", "li")}, "what is left out to have no series")
            assert not [s for s in exporter.scrape().samples("ehpc_jobs_ended_total")
                        if s.labels["queue"] == "debug"]  # fmt: skip
            with world.lock:
                now, [uuid] = time.time() + 1, [j.uuid for j in jobs.jobs() if j.queue == "debug"]
                jobs.start(uuid, now)
                jobs.end(uuid, now + 50)
            group("li,chemistry\nroot\n")
            good = "ehpc_exporter_groups_last_reload_successful"
            until(lambda: exporter.scrape().value(good) == 0, "the bad file to be seen")
            assert len(exporter.log_lines("the old ones stay in use", "line 2")) == 1
            assert grouped() == {("li", "chemistry")}
            group("li,physics\nroot,staff\n")
            until(lambda: grouped() == {("li", "physics")}, "the groups to follow their file")
            assert exporter.scrape().value(good) == 1
            exporter.rewrite_config(written([], []))
            exporter.process.send_signal(signal.SIGHUP)
            until(lambda: grouped() == {("li", "physics"), ("root", "staff")}, "all to be back")
            until(lambda: used() == 100, "what was used meanwhile, once")


def write_certificate(directory: Path) -> None:
    cert = trustme.CA().issue_cert("localhost")
    cert.private_key_pem.write_to_path(str(directory / "server.key"))
    (directory / "server.pem").write_bytes(b"".join(b.bytes() for b in cert.cert_chain_pems))


def test_reload_by_http_must_be_allowed(tmp_path: Path) -> None:
    with World() as world:
        populate(world.add("one").jobs, 30, active=4)
        with Exporter(tmp_path, config(world, {"a": "one"})) as exporter:
            assert exporter.get("/-/reload", method="POST")[0] == 403
            assert not exporter.log_lines("reloaded")


def test_a_reload_changes_labels_and_account_settings(tmp_path: Path) -> None:
    """What is shown changes at once; the keys, the share and the label rules are the new ones."""
    with World() as world:
        populate(world.add("one").jobs, 330, active=40)
        with Exporter(tmp_path, config(world, {"a": "one"}), "--web.enable-lifecycle") as exporter:
            exporter.until_true({"a": world.truth("one")})
            off = config(
                world, {"a": "one"}, labels={"user": {"mode": "off"}}, quota={"requests": 9000}
            )
            exporter.rewrite_config(off)
            assert exporter.get("/-/reload", method="POST")[0] == 200
            truth: dict[tuple[str, str, str], int] = {}
            for key, count in world.truth("one").items():
                shown_as = (key.status, key.queue, "")
                truth[shown_as] = truth.get(shown_as, 0) + count
            exporter.until_true({"a": truth})
            until(
                lambda: exporter.scrape().value("ehpc_api_quota_requests") == 4500, "the new share"
            )
            exporter.rewrite_config(config(world, {"a": "one"}, secret="no longer the secret"))
            assert exporter.get("/-/reload", method="POST")[0] == 200
            until(
                lambda: exporter.scrape().sum("ehpc_sync_failures_total", reason="authentication"),
                "the new secret to be refused",
            )
            # It is counted a moment before it is published.
            until(lambda: exporter.scrape().up("a") == 0, "the cluster to be down")


def test_a_reload_waits_for_the_ledger_of_a_call_that_hangs(tmp_path: Path) -> None:
    """The old poller is left behind with it; the new one goes on with the same ledger, on disk."""
    with World() as world:
        populate(world.add("one").jobs, 330, active=40)
        timeout = "15s"  # longer than a reload takes on a busy machine
        settings = config(world, {"a": "one"}, timeout=timeout)
        with Exporter(tmp_path, settings) as exporter:
            exporter.until_true({"a": world.truth("one")})
            until(lambda: exporter.scrape().sum("ehpc_history_complete") == 1, "the whole history")
            world.fault("stall", cluster_id="one")
            until(lambda: [x for x in world.calls("one") if x.fault], "a call that hangs")
            changed_at = time.time()
            exporter.rewrite_config(config(world, {"b": "one"}, timeout=timeout))
            exporter.process.send_signal(signal.SIGHUP)
            until(lambda: exporter.log_lines("a call hangs and is left behind"), "it to be left")
            world.no_faults()
            metrics = exporter.until_true({"b": world.truth("one")})
            assert metrics.value("ehpc_ledger_on_disk", cluster_name="b") == 1
            assert metrics.value("ehpc_history_complete", cluster_name="b") == 1
            assert restarts_of(world, "one", changed_at) == 0
            assert not exporter.log_lines("kept in memory")
