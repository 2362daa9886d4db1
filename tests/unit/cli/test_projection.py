"""What check-config says: mistakes, what it will cost, and advice that is good advice."""

from pathlib import Path

import pytest

from exporter.cli import main
from exporter.cli.projection import found_report, project, report, warnings
from exporter.config import Config, parse_config
from exporter.daemon.sightings import survey, with_found
from exporter.model import ListedCluster

from .conftest import CONFIG


def config_of(text: str) -> Config:
    return parse_config(text, {}, Path("/"))


def crowded(clusters: int, interval: str = "10s", quota: str = "{}") -> Config:
    lines = [
        f"  - {{cluster_id: ehpc-{i}, zone: z, interval: {interval}}}" for i in range(clusters)
    ]
    text = CONFIG.split("clusters:")[0]
    return config_of(f"{text}    quota: {quota}\nclusters:\n" + "\n".join(lines))


FINDING = """\
accounts:
  - endpoint: https://hpc.api.example.com
    access_key_id: K
    secret_access_key: S
    discovery: {zones: [jinan1a], include: ["ehpc-.*"], exclude: [".*test"]}
"""


def test_nothing_found_is_nothing_said() -> None:
    assert found_report(survey(config_of(FINDING), {})) == ""
    assert found_report(survey(config_of(FINDING), {"default": {"jinan1a": ()}})) == ""


def test_what_was_found_and_what_becomes_of_it() -> None:
    names = {"ehpc-1": "", "ehpc-2": "old test", "ehpc-9": "", "hpc-3": ""}
    listed = tuple(ListedCluster(*each, "active", {}) for each in names.items())
    assert found_report(survey(config_of(FINDING), {"default": {"jinan1a": listed}})) == (
        "account default has found in jinan1a\n"
        "  2 polled: ehpc-1, ehpc-9\n"
        "  1 left out by discovery.exclude: ehpc-2 (old test)\n"
        "  1 left out, because no pattern of discovery.include matches: hpc-3\n\n"
    )


def test_before_anything_is_found_it_says_how_many_clusters_there_is_room_for() -> None:
    assert report(config_of(FINDING)).startswith(
        "account default: 1,000 calls an hour allowed (0.5 of 2,000 in 1h)\n"
        "  discovers clusters in jinan1a: 6 calls an hour for that, and 66 for each cluster;"
        " there is room for 15 clusters before intervals are stretched, and with the change detector for"
        " 137 in which nothing changes\n\n"
    )
    alone = FINDING + "collection: {change_detector: off}\n"
    assert "for 15 clusters before intervals are stretched\n" in report(config_of(alone))


def test_what_is_found_counts_as_what_it_costs() -> None:
    """So many quiet clusters fit, and one more does not."""
    config = config_of(FINDING)
    listed = [ListedCluster(f"ehpc-{i}", "", "active", {}) for i in range(138)]
    for number, fits in ((137, True), (138, False)):
        found = with_found(config, {"default": {"jinan1a": tuple(listed[:number])}})
        (cost,) = project(found)
        assert cost.detected_calls is not None
        assert (cost.detected_calls + 6 <= 1000) == fits
    few = with_found(config, {"default": {"jinan1a": tuple(listed[:5])}})
    assert "room for 10 more clusters before intervals are stretched" in report(few)
    assert "and with the change detector for 132 in which nothing changes" in report(few)


def test_a_good_configuration(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", f"--config.file={config_file}"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert (
        out
        == f"""\
{config_file} is valid

account default: 192 calls an hour projected, 1,000 allowed (0.5 of 2,000 in 1h)
  cfd  every 1m: 60 for syncs, 6 for audits
  fea  every 30s: 120 for syncs, 6 for audits
  with the change detector, if the cloud's counters are reliable: 133 while nothing changes, and one for each cluster and interval with changes
  for capacity, from spare calls: 30, and 6 for each queue
  fits: 19% of what is allowed

Not known before it runs:
  - whether the API sorts the list by last change. If it does not, a sync costs one call
    for every 99 active jobs instead of one, and intervals are stretched to
    stay within the share; ehpc_sync_strategy shows this
  - how many other tools use the same account; they share its quota
  - how long the history is. It is read once, with the spare calls:
    account default has about 808 an hour for it, enough for 79,992 jobs an hour
"""
    )


def test_a_bad_configuration(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file.write_text(CONFIG.replace("zone: jinan1a}", "zon: jinan1a}"))
    assert main(["check-config", f"--config.file={config_file}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        'clusters[0].zon: unknown key; did you mean "zone"? (line 6)\n'
        "clusters[0].zone: is missing (line 6)\n"
    )


def test_what_the_change_detector_spares_is_told_beside() -> None:
    fleet = crowded(50, "60s")
    (cost,) = project(fleet)
    assert cost.detected_calls == pytest.approx(60 + 50 * 3600 / 530)
    assert "counters are reliable: 400 while nothing changes" in report(fleet)
    assert "detector" not in report(crowded(1))
    assert "detector" not in report(config_of(CONFIG + "collection: {change_detector: off}\n"))


def test_large_numbers_are_written_out() -> None:
    assert "account default: 21,960 calls an hour projected" in report(crowded(60))


def test_capacity_is_told_beside_and_changes_no_verdict() -> None:
    text = CONFIG + "collection: {capacity_interval: 30m}\n"
    asked, unasked = config_of(text), config_of(text.replace("30m", "off"))
    assert "for capacity, from spare calls: 10, and 2 for each queue" in report(asked)
    assert "capacity" not in report(unasked)
    (one,), (other,) = project(asked), project(unasked)
    assert (one.calls, one.fits) == (other.calls, other.fits)


def test_what_does_not_fit_is_told_what_would() -> None:
    text = report(crowded(4))
    assert "account default: 1,464 calls an hour projected, 1,000 allowed" in text
    assert (
        """\
  does not fit: the intervals will be stretched, to about 1.5 times; either
    - set an interval of 15s or more, or
    - set quota.share to 0.74, which leaves less for other tools, or
    - watch fewer clusters, or use another account for some of them
"""
        in text
    )
    assert "no calls are left for it" in text


@pytest.mark.parametrize("clusters", [4, 7, 30, 100])
def test_the_advice_is_good_advice(clusters: int) -> None:
    (cost,) = project(crowded(clusters))
    assert not cost.fits
    needed = cost.interval_needed_seconds
    assert needed is not None
    (better,) = project(crowded(clusters, f"{needed:.0f}s"))
    assert better.fits
    (worse,) = project(crowded(clusters, f"{needed - 1:.0f}s"))
    assert not worse.fits
    if cost.share_needed <= 1:
        (better,) = project(crowded(clusters, quota=f"{{share: {cost.share_needed}}}"))
        assert better.fits


def test_audits_alone_can_be_too_many() -> None:
    config = crowded(200)
    (cost,) = project(config)
    assert cost.interval_needed_seconds is None
    assert cost.share_needed > 1
    text = report(config)
    assert "set an interval" not in text
    assert "quota.share to" not in text


def test_an_account_without_clusters_and_no_history() -> None:
    text = CONFIG.replace("accounts:\n", """\
accounts:
  - {name: spare, endpoint: 'http://10.0.0.1', access_key_id: K, secret_access_key: S}
""").replace("  - endpoint", "  - name: main\n    endpoint").replace("zone", "account: main, zone")  # fmt: skip
    shown = report(config_of(text + "collection: {history: none}"))
    assert "account spare: 0 calls an hour projected" in shown
    assert "  no cluster uses it\n" in shown
    assert "history" not in shown
    assert shown.startswith("Warnings:\n  - account spare: the endpoint is plain http")


def test_of_what_is_not_discovered_yet_nothing_is_said() -> None:
    shown = report(config_of(FINDING))
    assert shown.endswith("  - how long the history is. It is read once, with the spare calls\n")


def test_a_projection_beyond_the_budget_is_a_warning_on_top() -> None:
    shown = report(crowded(4))
    assert shown.startswith(
        """\
Warnings:
  - account default: 1,464 calls an hour are projected and 1,000 allowed, so the intervals will be stretched

account default: 1,464 calls"""
    )


@pytest.mark.parametrize(
    ("staleness", "warned"), [("auto", False), ("16s", False), ("14s", True), ("10s", True)]
)
def test_counts_that_will_come_and_go_are_warned_of(staleness: str, warned: bool) -> None:
    """Intervals of 10 s, stretched to 14.6."""
    text = CONFIG.split("clusters:")[0] + "clusters:\n" + "".join(
        f"  - {{cluster_id: ehpc-{i}, zone: z, interval: 10s, staleness: {staleness}}}\n"
        for i in range(4)
    )  # fmt: skip
    lines = warnings(config_of(text))
    assert ["come and go" in line for line in lines].count(True) == (4 if warned else 0)


def test_strict(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["check-config", f"--config.file={config_file}", "--strict"]
    assert main(flags) == 0
    assert capsys.readouterr().err == ""
    config_file.write_text(CONFIG + "collection: {staleness: 45s}\n")
    assert main(flags[:2]) == 0
    text = capsys.readouterr().out
    assert main(flags) == 2
    out, err = capsys.readouterr()
    assert out == text
    assert err.startswith("--strict: cluster cfd: its interval is not shorter than its staleness")
    assert err.count("\n") == 1
