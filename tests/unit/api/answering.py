"""A client whose transport answers as a test wants it to."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from exporter.api.client import AccountClient, ClusterJobs, Credentials
from exporter.api.transport import RawAnswer
from exporter.errors import BudgetExhausted, TransportError

NOW_AT = 1_629_391_480.0  # 2021-08-19T16:44:40Z
KEY_ID, SECRET = "QYACCESSKEYIDEXAMPLE", "SECRETACCESSKEY"

Outcome = RawAnswer | Exception | Callable[[str], RawAnswer]


def answered(status: int = 200, date_at: float | None = None, **fields: Any) -> RawAnswer:
    return RawAnswer(status, json.dumps({"ret_code": 0} | fields).encode(), date_at, 0.1)


def refused(code: int, message: str = "", date_at: float | None = None) -> RawAnswer:
    return answered(date_at=date_at, ret_code=code, message=message)


def problem(status: int, *, http_status: int | None = None, detail: str = "no zone") -> RawAnswer:
    """What the server's framework answers in place of a ``ret_code``."""
    document = {"type": "about:blank", "title": "Bad Request", "detail": detail, "status": status}
    return RawAnswer(http_status or status, json.dumps(document).encode(), None, 0.1)


def lost(reason: str = "timeout", *, retryable: bool = True) -> TransportError:
    return TransportError(reason, "lost", retryable=retryable, advice="Look.")


@dataclass
class World:
    """Everything that a client is handed, recording what is done with it."""

    outcomes: list[Outcome] = field(default_factory=list)
    now: float = NOW_AT
    elapsed: float = 0.0
    call_seconds: float = 0.25
    stopping: bool = False
    admits: int = 10**6
    keys: list[Credentials] = field(default_factory=lambda: [Credentials(KEY_ID, SECRET)])
    urls: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    # the transport
    def exchange(self, url: str, method: str = "GET") -> RawAnswer:
        self.urls.append(url)
        self.methods.append(method)
        self.elapsed += self.call_seconds
        self.now += self.call_seconds
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome(url) if callable(outcome) else outcome

    # the clock
    def now_at(self) -> float:
        return self.now

    def monotonic_seconds(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> bool:
        self.slept.append(seconds)
        self.now += seconds
        self.elapsed += seconds
        return self.stopping

    # the gate
    def admit(self, cluster_name: str) -> None:
        if self.admits <= 0:
            raise BudgetExhausted("budget", "no call left", until_at=self.now + 60, advice="Wait.")
        self.admits -= 1
        self.events.append(("admit", cluster_name))

    def over_quota(self) -> None:
        self.events.append("over quota")

    def passed(self) -> None:
        self.events.append("passed")

    # the telemetry
    def api_call_sent(self, account: str) -> None:
        self.events.append(("sent", account))

    def api_call_failed(self, account: str, reason: str) -> None:
        self.events.append(("failed", account, reason))

    def api_call_took(self, account: str, seconds: float) -> None:
        self.events.append(("took", account, seconds))

    def label_values_cut(self, cluster_name: str, values: int) -> None:
        self.events.append(("cut", cluster_name, values))

    def credentials(self) -> Credentials:
        return self.keys[0]

    def client(self, endpoint: str = "https://hpc.example", **options: Any) -> AccountClient:
        return AccountClient(
            account="acc",
            endpoint=endpoint,
            credentials=options.pop("credentials", self.credentials),
            transport=self,
            gate=self,
            telemetry=self,
            clock=self,
            random=random.Random(7),
            **options,
        )

    def jobs(self, **options: Any) -> ClusterJobs:
        return self.client(**options).cluster(
            "cfd", cluster_id="ehpc-qmmvigwe", zone="jinan1a", timezone=UTC
        )

    def parameters(self, call: int = -1) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.urls[call]).query, strict_parsing=True))

    def count(self, event: str) -> int:
        return sum(entry == event or entry[0] == event for entry in self.events)
