"""Long-term storage: a real Prometheus writes to a real VictoriaMetrics as the example says."""

import json
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.deploy.fast_rules import write_rules
from tests.deploy.rule_files import PROMETHEUS
from tests.e2e.real_prometheus import fetch, query
from tests.e2e.web_serving import serving
from tests.servers import kept_address, program
from tests.unit.board_states import good_state
from tests.waiting import until

Tool = Callable[[str], str]


def write_example(directory: Path, exporter: str, storage: str) -> Path:
    """The example, with these addresses and scrapes that a test can wait for."""
    content = yaml.safe_load((PROMETHEUS / "prometheus-remote-write.yml").read_text())
    content["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    content["rule_files"] = write_rules(directory)
    del content["alerting"]
    content["scrape_configs"][0]["static_configs"][0]["targets"] = [exporter]
    (ours,) = (each for each in content["remote_write"] if each["name"] == "victoriametrics")
    content["remote_write"] = [ours | {"url": f"{storage}/api/v1/write"}]
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def names_at(url: str) -> set[str]:
    """The names of all series there."""
    return set(json.loads(fetch(f"{url}/api/v1/label/__name__/values"))["data"])


def test_what_is_kept_for_years(tmp_path: Path, require_tool: Tool) -> None:
    with kept_address() as storage, kept_address() as prometheus, serving(
        good_state()
    ) as world, program(
        tmp_path / "storage.log", storage,
        require_tool("victoria-metrics"), f"-storageDataPath={tmp_path / 'storage'}",
        f"-httpListenAddr={storage}", "-retentionPeriod=10y", "-search.latencyOffset=0s",
    ) as storage_url:  # fmt: skip
        config = write_example(tmp_path, f"127.0.0.1:{world.port}", storage_url)
        with program(
            tmp_path / "prometheus.log", prometheus,
            require_tool("prometheus"), f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address={prometheus}",
        ) as prometheus_url:  # fmt: skip
            recorded = "cluster_queue:ehpc_jobs_pending:sum"
            until(lambda: query(storage_url, recorded), "what the rules record to be written")
            # The series of one scrape come in several parts.
            wanted = {"ehpc_jobs", "ehpc_up", "up", "ehpc_job_wait_seconds_bucket", recorded}
            until(lambda: wanted <= names_at(storage_url), "all of them")
            names = names_at(storage_url)
            here = names_at(prometheus_url)
            up = 'ehpc_up{cluster_name="cfd"}'
            (sample,) = until(lambda: query(storage_url, up), "its value")
    assert {"ehpc_api_request_duration_seconds_bucket", "process_cpu_seconds_total"} <= here
    assert not {name for name in names if name.startswith(("process_", "python_", "scrape_"))} | (
        names & {"ehpc_api_request_duration_seconds_bucket"}
    )
    labels = sample["metric"]
    assert isinstance(labels, dict)
    assert (labels["site"], labels["job"]) == ("jinan", "ehpc")
    assert "replica" not in labels
