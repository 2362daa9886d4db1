"""A configuration's file becomes a frozen value, with the defaults that the example shows."""

import math
import os
import pickle
import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from exporter import files
from exporter.config import (
    Config,
    QueueConfig,
    Secret,
    config_warnings,
    format_duration,
    load_config,
    parse_config,
    parse_duration,
    read_secret_file,
)
from exporter.config.schema import schema_text
from exporter.errors import ConfigError
from exporter.model import ClusterIdentity

ROOT = Path(__file__).resolve().parents[3]
KEYS = {"EHPC_ACCESS_KEY_ID": "KEYID", "EHPC_SECRET_ACCESS_KEY": "HUSH"}
MINIMAL = """\
accounts: [{endpoint: 'https://hpc.api.example.com/', access_key_id: KEYID, secret_access_key: HUSH}]
clusters: [{cluster_id: ehpc-1, zone: jinan1a}]
"""


def parse(text: str, directory: Path = Path("/etc/ehpc"), **environ: str) -> Config:
    return parse_config(text, environ, directory)


def test_the_example_says_the_defaults() -> None:
    example = load_config(ROOT / "config.example.yaml", KEYS)
    minimal = parse(
        MINIMAL.replace("https://hpc.api.example.com/", "https://hpc.api.qingcloud.com")
        .replace("zone:", "name: cfd, zone:")
        .replace("ehpc-1", "ehpc-qmmvigwe"),
        directory=ROOT,
    )
    assert example == minimal


def test_the_example_names_every_key() -> None:
    example = (ROOT / "config.example.yaml").read_text()
    keys = set(re.findall(r'^ {8}"(\w+)": \{$', schema_text(), re.MULTILINE))
    assert keys >= {"accounts", "ca_file", "secret_access_key_file", "limit"}
    assert not {key for key in keys if not re.search(rf"\b{key}:", example)}


@pytest.mark.parametrize(
    "url", ["HTTPS://HPC.example.com", "https://例子.中国", "https://[::1]:8443/x"]
)
def test_what_a_check_accepts_is_accepted(url: str) -> None:
    """The patterns of the schema, which editors use, are coarser than the checks."""
    text = MINIMAL.replace("https://hpc.api.example.com/", url)
    assert parse(text).accounts[0].endpoint == url
    assert parse(MINIMAL + "labels: {queue: {exclude: ['']}}\n").labels.queues.exclude


@pytest.mark.parametrize(
    "url", ["https://a..b", "https://.", "https://*.example.com", "https://x\\y"]
)
def test_a_host_that_there_cannot_be(url: str) -> None:
    with pytest.raises(ConfigError, match=r"accounts\[0\]\.endpoint: must be a URL"):
        parse(MINIMAL.replace("https://hpc.api.example.com/", url))


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("https://hpc.example.com/api", True),
        ("https://hpc.example.com/gate/api/job/list/", True),
        ("https://hpc.example.com/gate", False),
        ("https://api.example.com", False),
    ],
)
def test_an_endpoint_that_repeats_the_path_is_warned_of(url: str, *, warned: bool) -> None:
    config = parse(MINIMAL.replace("https://hpc.api.example.com/", url))
    assert (
        any("the exporter adds /api/job/list" in line for line in config_warnings(config)) == warned
    )


def test_a_share_of_no_call_is_warned_of() -> None:
    small = MINIMAL.replace(
        "access_key_id:", "quota: {requests: 100, share: 0.009}, access_key_id:"
    )
    (warning,) = config_warnings(parse(small))
    assert warning.startswith("account default: quota.share is less than one call in a period")
    assert config_warnings(parse(small.replace("0.009", "0.01"))) == ()


def test_one_key_in_two_accounts_is_warned_of() -> None:
    account = "{{name: {}, endpoint: 'https://hpc.example.com{}', access_key_id: {}, secret_access_key: S}}"
    accounts = (("a", "", "KEYID"), ("b", "/", "KEYID"), ("c", "", "OTHER"))
    written = ", ".join(account.format(*each) for each in accounts)
    text = f"accounts: [{written}]\nclusters: [{{account: a, cluster_id: ehpc-1, zone: jinan1a}}]\n"
    (warning,) = config_warnings(parse(text))
    assert warning.startswith("accounts a and b have the same endpoint and key")


def test_a_link_to_grafana() -> None:
    assert parse(MINIMAL).grafana == ""
    told = parse(MINIMAL + "links: {grafana: 'https://grafana.example.org/sub/'}\n")
    assert told.grafana == "https://grafana.example.org/sub"
    for wrong in ("grafana.example.org", "https://g.example.org/?orgId=1", "javascript:alert(1)"):
        with pytest.raises(ConfigError, match=r"links\.grafana: .*must be a URL"):
            parse(MINIMAL + f"links: {{grafana: '{wrong}'}}\n")


def test_every_cluster_has_the_labels_that_one_of_them_has(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("li,chemistry\n")
    more = "  - {cluster_id: ehpc-2, zone: z, labels: {site: jinan, rack: '7'}}\n"
    more += "  - {cluster_id: ehpc-3, zone: z, labels: {owner: li}}\n"
    more += (
        "labels: {user: {groups_file: groups.csv, exclude: [root]}, queue: {include: ['g.*']}}\n"
    )
    text = MINIMAL.replace(
        "[{cluster_id: ehpc-1, zone: jinan1a}]", "\n  - {cluster_id: ehpc-1, zone: z}"
    )
    config = parse(text + more, tmp_path)
    assert [dict(cluster.identity.labels) for cluster in config.clusters] == [
        {"owner": "", "rack": "", "site": ""},
        {"owner": "", "rack": "7", "site": "jinan"},
        {"owner": "li", "rack": "", "site": ""},
    ]
    assert config.label_names == ("owner", "rack", "site")
    labels = config.labels
    assert labels.groups is not None
    assert labels.groups.of("li") == "chemistry"
    assert [labels.users(name) for name in ("li", "root", "rooter")] == [True, False, True]
    assert [labels.queues(name) for name in ("gpu", "g", "cpu")] == [True, True, False]


def test_defaults() -> None:
    config = parse(MINIMAL)
    (account,) = config.accounts
    assert account.name == "default"
    assert account.endpoint == "https://hpc.api.example.com"
    assert account.secret_access_key == Secret("HUSH")
    assert (account.timeout_seconds, account.quota_requests) == (10, 2000)
    assert (account.quota_period_seconds, account.quota_share) == (3600, 0.5)
    assert (account.ca_file, account.secret_access_key_file) == (None, None)
    assert account.calls_per_hour == 1000
    (cluster,) = config.clusters
    assert cluster.identity == ClusterIdentity("ehpc-1", "ehpc-1", "jinan1a", "default")
    assert (cluster.timezone, cluster.interval_seconds) == (None, 60)
    assert cluster.staleness_seconds is None
    assert config.collection.history_seconds == math.inf
    assert config.collection.audit_interval_seconds == 600
    assert config.collection.capacity_interval_seconds == 600
    assert (cluster.queues, account.user_id) == ((), "")
    assert config.state.path == Path("/etc/ehpc/state")
    assert (config.labels.user_mode, config.labels.user_limit) == ("name", 500)
    assert config.labels.queue_limit == 200


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (None, "/var/lib/x"),
        ("./state", "/var/lib/x"),
        ("elsewhere", "/etc/ehpc/elsewhere"),
        ("/data", "/data"),
        (":memory:", None),
    ],
)
def test_the_state_is_where_the_environment_says_unless_the_file_does(
    path: str | None, place: str | None
) -> None:
    text = MINIMAL if path is None else f"{MINIMAL}state: {{path: '{path}'}}\n"
    state = parse(text, STATE_DIRECTORY="/var/lib/x").state
    assert state.path == (None if place is None else Path(place))
    assert parse(MINIMAL, STATE_DIRECTORY="").state.path == Path("/etc/ehpc/state")


def test_everything_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("HUSH\n")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    config = parse(
        """\
accounts:
  - name: east
    endpoint: http://127.0.0.1:8080
    access_key_id: KEYID
    secret_access_key_file: secret
    timeout: 1500ms
    quota: {requests: 10, period: 1m, share: 1}
    user_id: usr-1
    ca_file: ca.pem
  - {name: 西, endpoint: https://b.example.com/hpc, access_key_id: K, secret_access_key: S}
clusters:
  - {account: east, cluster_id: ehpc-1, zone: a, timezone: Asia/Shanghai, interval: 1h30m}
  - {account: 西, cluster_id: ehpc-1, zone: a, name: "作业 \\"1\\"\\n"}
  - {account: 西, cluster_id: ehpc-2, zone: a, staleness: 20m, queues: {gpu: {cores: 512}, 大: {gpus: 0}}}
  - {account: 西, cluster_id: ehpc-3, zone: a, staleness: auto}
collection: {interval: 1s, history: 30d, audit_interval: 1d, staleness: 1w, capacity_interval: off}
state: {path: ":memory:"}
labels: {user: {mode: off, limit: 0}, queue: {limit: 3}}
""",
        tmp_path,
    )
    east, west = config.accounts
    assert east.secret_access_key == Secret("HUSH")
    assert east.secret_access_key_file == tmp_path / "secret"
    assert east.ca_file == tmp_path / "ca.pem"
    assert (east.timeout_seconds, east.calls_per_hour) == (1.5, 600)
    assert (west.name, west.endpoint) == ("西", "https://b.example.com/hpc")
    first, second, *others = config.clusters
    assert first.staleness_seconds == second.staleness_seconds == 7 * 86400
    assert [cluster.staleness_seconds for cluster in others] == [1200, None]
    assert (first.timezone, first.interval_seconds) == (ZoneInfo("Asia/Shanghai"), 5400)
    assert datetime(2021, 8, 19, 14, tzinfo=first.timezone).astimezone(UTC).hour == 6
    assert (second.name, second.account) == ('作业 "1"\n', "西")
    assert config.clusters_of("西") == (second, *others)
    assert config.account("east") is east
    assert config.collection.history_seconds == 30 * 86400
    assert config.collection.capacity_interval_seconds is None
    assert others[0].queues == (QueueConfig("gpu", 512, None), QueueConfig("大", None, 0))
    assert east.user_id == "usr-1"
    assert config.state.path is None
    assert config.labels.user_mode == "off"


def test_clusters_need_not_be_named_where_they_are_found() -> None:
    account = MINIMAL.split("clusters:", maxsplit=1)[0]

    def finding(discovery: str) -> Config:
        return parse(account.replace("HUSH}", f"HUSH, discovery: {discovery}}}"))

    found = finding("{zones: [a, b, a]}")
    assert found.clusters == ()
    discovery = found.accounts[0].discovery
    assert discovery is not None
    assert (discovery.zones, discovery.interval_seconds) == (("a", "b"), 600)
    assert discovery.wants("ehpc-1", "")
    some = finding("{zones: [a], include: ['cfd.*', ehpc-1], exclude: ['.*-old'], interval: 1h}")
    discovery = some.accounts[0].discovery
    assert discovery is not None
    wanted = [("ehpc-1", "x"), ("ehpc-2", "cfd7"), ("ehpc-1", "x-old"), ("ehpc-10", "my cfd")]
    assert [discovery.wants(*names) for names in wanted] == [True, True, False, False]


def test_no_history() -> None:
    assert parse(MINIMAL + "collection: {history: none}").collection.history_seconds == 0


def test_variables() -> None:
    text = MINIMAL.replace("HUSH", '"a${ONE}$$${TWO}$x"').replace("ehpc-1", "'${ONE}'")
    config = parse(text, ONE="1", TWO="${ONE}$$")
    assert config.accounts[0].secret_access_key.reveal() == "a1$${ONE}$$$x"
    assert config.clusters[0].cluster_id == "1"


def test_a_secret_does_not_show() -> None:
    config = parse(MINIMAL)
    account = config.accounts[0]
    shown = f"{config!r} {config} {account.secret_access_key} {account.secret_access_key!r:>9}"
    assert "HUSH" not in shown
    assert "KEYID" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(account.secret_access_key)
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


@pytest.mark.parametrize("blank", [" ", "\n", "\r\n", "\t \n"])
def test_white_space_around_a_key_is_nothing(blank: str, tmp_path: Path) -> None:
    (tmp_path / "id").write_text(f"{blank}KEYID{blank}")
    text = MINIMAL.replace("KEYID", "'${ID}'").replace("HUSH", "'${KEY}'")
    told = parse(text, ID=f"{blank}KEYID{blank}", KEY=f"{blank}HUSH{blank}")
    filed = parse(MINIMAL.replace("_id: KEYID", f"_id_file: {tmp_path}/id"))
    assert told.accounts == parse(MINIMAL).accounts
    assert filed.accounts[0].access_key_id == "KEYID"
    assert filed.accounts[0].key_files == (tmp_path / "id",)


def test_a_key_file_that_everybody_can_read_is_warned_of(tmp_path: Path) -> None:
    paths = [tmp_path / "id", tmp_path / "secret"]
    for path in paths:
        path.write_text("KEY\n")
        path.chmod(0o640)
    config = parse(
        MINIMAL.replace("_id: KEYID", f"_id_file: {paths[0]}").replace(
            "_key: HUSH", f"_key_file: {paths[1]}"
        )
    )
    assert config_warnings(config) == ()
    paths[1].chmod(0o644)
    assert config_warnings(config) == (
        f"account default: everybody on this machine can read {paths[1]}; run chmod 600 on it",
    )


def test_a_secret_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old\n")
    config = parse(MINIMAL.replace("_key: HUSH", f"_key_file: {path}"))
    path.write_text("\ufeffnew\r\n")  # as an editor on Windows writes it
    known = config.accounts[0].secret_access_key_file
    assert known is not None
    assert read_secret_file(known) == Secret("new")
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret_file(known)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "config.yaml", {})
    assert str(caught.value) == f"cannot read {tmp_path}/config.yaml: No such file or directory"
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path, {})
    (tmp_path / "latin").write_bytes(b"\xe4")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_config(tmp_path / "latin", {})


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("secret_access_key_file", "cannot be read: nothing comes out of it"),
        ("ca_file", "cannot be read: not a regular file"),
    ],
)
def test_a_path_that_would_block_is_a_problem(
    tmp_path: Path, key: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE_MILLISECONDS", 1)
    os.mkfifo(tmp_path / "pipe")
    text = MINIMAL.replace("secret_access_key: HUSH", f"{key}: {tmp_path}/pipe")
    with pytest.raises(ConfigError) as caught:
        parse(text)
    (told,) = [str(each) for each in caught.value.problems if key in each.path]
    assert f" {said} (line 1)" in told


def test_a_configuration_out_of_a_pipe_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE_MILLISECONDS", 1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"cannot read .*pipe: nothing comes out of it"):
        load_config(tmp_path / "pipe", {})


def test_an_alias_is_what_it_stands_for() -> None:
    text = MINIMAL.replace("id: ehpc-1, zone: jinan1a", "id: &name ehpc-1, zone: *name")
    assert parse(text).clusters[0].zone == "ehpc-1"


def test_a_byte_order_mark_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load_config(tmp_path / "config.yaml", {}).clusters[0].name == "ehpc-1"


@pytest.mark.parametrize(
    ("endpoint", "warned"),
    [
        ("https://a.example.com", False),
        ("http://127.0.0.9:80", False),
        ("http://[::1]:80", False),
        ("http://localhost", False),
        ("http://simulator:8080", True),
        ("http://10.0.0.1", True),
    ],
)
def test_plain_http_over_a_network_is_warned_of(endpoint: str, *, warned: bool) -> None:
    warnings = config_warnings(parse(MINIMAL.replace("https://hpc.api.example.com/", endpoint)))
    assert [("plain http" in line) for line in warnings] == [True] * warned


def test_an_interval_beyond_staleness_is_warned_of() -> None:
    assert not config_warnings(parse(MINIMAL + "collection: {interval: 10m}"))
    for staleness in ("10m", "5m"):
        text = f"collection: {{interval: 10m, staleness: {staleness}}}"
        (line,) = config_warnings(parse(MINIMAL + text))
        assert line.startswith("cluster ehpc-1: its interval is not shorter than its staleness")


def test_the_schema_is_committed() -> None:
    assert (ROOT / "config.schema.json").read_text() == schema_text(), "run: make schema"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("30s", 30),
        ("1h30m", 5400),
        ("30d", 2592000),
        ("500ms", 0.5),
        ("1y2w3d4h5m6s7ms", 33_019_506.007),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "s", "1m1h", "1h 30m", "-5m", "1.5h", "５m", "1H", "1s\n"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**11))
def test_durations_are_read_as_they_are_written(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


PIECES = st.sampled_from(
    [*MINIMAL.split(" "), *"{}[],:&*!|>-?'\"#%@`$\n\t", "${", "&a ", "*a", "<<: ", "\n  - ", "!!int ",
     "accounts", "quota: ", "1e999", "\\ud800", "0s", "~", "true"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(PIECES).map("".join), st.lists(PIECES).map(" ".join)))
def test_any_text_is_a_configuration_or_has_problems(text: str) -> None:
    for whole in (text, MINIMAL + text, MINIMAL.replace("jinan1a", text)):
        outcome = outcome_of(whole)
        assert outcome
        assert all("\n" not in line for line in outcome)


def outcome_of(text: str) -> list[str]:
    try:
        config = parse_config(text, KEYS, Path("/nonexistent"))
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return [account.endpoint for account in config.accounts]
