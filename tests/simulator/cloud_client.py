"""A plain client of the simulated cloud, for its own tests: signs, sends one request, reads all."""

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from exporter.simulator import Account
from exporter.simulator.signing import signature
from tests.waiting import PATIENCE_SECONDS

ACCOUNT = Account()


def signed_params(
    at: float, params: Mapping[str, str] = {}, *, key: str = ACCOUNT.access_key_id
) -> dict[str, str]:
    """The common parameters and those of the call, unsigned."""
    return {
        "access_key_id": key,
        "signature_method": "HmacSHA256",
        "signature_version": "1",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
        "version": "1",
        "zone": "jinan1a",
        **params,
    }


def raw_query(
    params: Mapping[str, str],
    *,
    path: str = "/api/job/list",
    secret: str = ACCOUNT.secret_access_key,
    slash: str = "encoded",
) -> str:
    """The query string as it travels; ``slash`` as it is signed."""
    sent = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in params.items())
    twice = quote(quote(signature("GET", path, params, secret, slash=slash), safe=""), safe="")
    return f"{sent}&signature={twice}"


def target(at: float, params: Mapping[str, str], *, path: str = "/api/job/list") -> str:
    """Path and query of a signed call."""
    return f"{path}?{raw_query(signed_params(at, params), path=path)}"


class CloudClient:
    """One connection that is kept."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float = PATIENCE_SECONDS,
        context: ssl.SSLContext | None = None,
    ) -> None:
        where = urlsplit(address)
        assert where.hostname is not None
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)
            if where.scheme == "http"
            else http.client.HTTPSConnection(
                where.hostname, where.port, timeout=timeout, context=context
            )
        )

    def __enter__(self) -> "CloudClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(
        self, method: str, target: str, body: Any = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of one exchange."""
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, target, body=data)
        response = self._connection.getresponse()
        return response.status, response.headers, response.read()

    def list_jobs(self, cluster_id: str, **params: str) -> dict[str, Any]:
        """One call of job/list, decoded."""
        _, _, body = self.send("GET", target(time.time(), {"cluster_id": cluster_id, **params}))
        answer: dict[str, Any] = json.loads(body)
        return answer

    def admin(self, method: str, route: str, body: Any = None) -> Any:
        """One request of the admin routes, decoded; asserts that it was understood."""
        status, _, text = self.send(method, route, body)
        assert status == 200, text
        return json.loads(text)
