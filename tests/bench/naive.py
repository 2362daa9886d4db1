"""The exporter that anybody writes in an afternoon: requests, json and prometheus-client's gauges,
paging through everything at every refresh.

It counts page by page and keeps no job, which is kinder to its memory than most are.
``python -m tests.bench.naive ENDPOINT CLUSTER_ID`` looks once and prints what it took as JSON.
"""

import base64
import hashlib
import hmac
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from prometheus_client import CollectorRegistry, Gauge

KEY_ID, SECRET = "QYACCESSKEYIDEXAMPLE", "SECRETACCESSKEY"
PAGE = 100


class NaiveExporter:
    """One cluster."""

    def __init__(self, endpoint: str, cluster_id: str, zone: str = "jinan1a") -> None:
        self._endpoint = endpoint
        self._cluster_id = cluster_id
        self._zone = zone
        self._session = requests.Session()
        self.registry = CollectorRegistry()
        self._gauge = Gauge(
            "naive_jobs", "Jobs.", ["status", "queue", "user"], registry=self.registry
        )
        self.calls = 0

    def refresh(self) -> Counter[tuple[str, str, str]]:
        """Page through everything, and set the gauges."""
        counts: Counter[tuple[str, str, str]] = Counter()
        offset = 0
        while True:
            answer = self._page(offset)
            for job in answer["hpc_job_set"]:
                counts[job["job_status"], job["queue_name"], job["run_user"]] += 1
            offset += PAGE
            if offset >= answer["total_count"]:
                break
        self._gauge.clear()
        for labels, count in counts.items():
            self._gauge.labels(*labels).set(count)
        return counts

    def _page(self, offset: int) -> dict[str, Any]:
        self.calls += 1
        params = {
            "access_key_id": KEY_ID,
            "cluster_id": self._cluster_id,
            "limit": PAGE,
            "offset": offset,
            "signature_method": "HmacSHA256",
            "signature_version": 1,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "version": 1,
            "zone": self._zone,
        }
        query = "&".join(f"{name}={quote(str(params[name]), safe='')}" for name in sorted(params))
        text = f"GET\n/api/job/list/\n{query}\n{hashlib.md5(b'').hexdigest()}"
        digest = base64.b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha256")).decode()
        signature = quote(quote(digest, safe=""), safe="")
        url = f"{self._endpoint}/api/job/list?{query}&signature={signature}"
        answer: dict[str, Any] = json.loads(self._session.get(url, timeout=30).content)
        if answer["ret_code"]:
            raise RuntimeError(f"ret_code {answer['ret_code']}")
        return answer


def memory_megabytes(process_id: int | str, field: str = "VmRSS") -> float:
    """Of a process, by ``/proc``: ``VmRSS`` now, ``VmHWM`` at its highest."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} of process {process_id}")


def main(endpoint: str, cluster_id: str) -> None:
    naive = NaiveExporter(endpoint, cluster_id)
    counts = naive.refresh()
    memory = {field: memory_megabytes("self", field) for field in ("VmRSS", "VmHWM")}
    print(json.dumps({"calls": naive.calls, "jobs": counts.total(), **memory}))


if __name__ == "__main__":
    main(*sys.argv[1:])
