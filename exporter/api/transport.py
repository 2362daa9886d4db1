"""One HTTPS exchange: the only importer of requests.

What requests does not do by itself, and a signed call needs:

- A deadline for the whole exchange (``deadline.py``): its own timeouts are for each read.
- A limit on the answer's size, also once it is decompressed.
- The query string goes out byte for byte as signed; redirects are refused, since a signed URL
  goes nowhere else; no cookies, no passwords from a netrc file.
- Errors and log lines without the URL: it has the signature.
- The machine's own trusted issuers beside those that requests brings along.
"""

import email.utils
import http.client
import logging
import re
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3.exceptions import HTTPError, NewConnectionError, ProxyError
from urllib3.exceptions import SSLError as Urllib3SSLError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError
from urllib3.poolmanager import PoolManager

from exporter.api.deadline import Deadline, Network, pool_classes
from exporter.api.trust import Trust
from exporter.clock import Clock
from exporter.errors import TransportError

MAX_ANSWER_BYTES = 32 * 2**20
"""Default limit: 100 jobs, each with a command line of 300 kB."""

_CHUNK_BYTES = 65536
_QUOTA_HEADER = re.compile("rate-?limit|quota|retry-after")
_NUMBERS = re.compile(r"[0-9][0-9.,;=/w ]{0,40}")
"""``2000``, or ``2000, 2000;w=3600``."""
_PROXY_LOGIN = 407  # HTTP status
_NO_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")  # http.client's words
_SUCCESSES, _REDIRECTS, _SERVERS_FAULT = 2, 3, 5  # hundreds of an HTTP status
_LOGGERS_WITH_URLS = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.util.retry",
)
_FOREIGN_ERRORS = (
    requests.RequestException,
    HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    zlib.error,
)

_ADVICE = {
    "timeout": "Check the network between here and the endpoint; if the cloud is slow, raise the "
    "account's timeout.",
    "connection": "Check the account's endpoint, name resolution, firewalls, and the proxy "
    "settings in the environment.",
    "tls": "Check that the endpoint's certificate is valid and that this machine (SSL_CERT_FILE, if "
    "that is set), or the account's ca_file, trusts its issuer.",
    "proxy": "In this program's environment, set https_proxy (or http_proxy) to "
    "http://USER:PASSWORD@HOST:PORT, or no_proxy to the endpoint's host.",
    "redirect": "Set the account's endpoint to the API's own address: a signed call follows no "
    "redirect.",
    "too_large": "Check that the account's endpoint is the API's address.",
}
REASONS = tuple(_ADVICE)
"""Every ``reason`` of a TransportError."""

_RETRYABLE = frozenset({"timeout", "connection"})


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back."""

    status: int
    body: bytes = field(repr=False)  # has users' command lines
    date_at: float | None
    """The server's clock, from the ``Date`` header; None where it has none."""
    elapsed_seconds: float
    quota_headers: tuple[tuple[str, str], ...] = ()
    """The headers of a rate limit or quota that contain numbers."""


class Transport(Protocol):
    """Anything that can make an exchange."""

    def exchange(self, url: str, method: str = "GET") -> RawAnswer:
        """Ask for a signed URL, without a body, and return the whole answer, whatever its status
        below 300 or from 400.

        Raises TransportError with one of ``REASONS``.
        """
        ...


class RequestsTransport:
    """Exchanges over the network, for one account. Threads may share it."""

    def __init__(
        self,
        *,
        timeout_seconds: float,
        clock: Clock,
        ca_file: str | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        max_idle_connections: int = 32,
        user_agent: str = "ehpc-exporter",
    ) -> None:
        """``timeout_seconds`` is for the whole of an exchange; ``ca_file`` has more trusted issuers;
        ``max_answer_bytes`` counts decompressed bytes. Connections beyond
        ``max_idle_connections`` are not kept for the next call."""
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._ca_file = ca_file
        self._max_answer_bytes = max_answer_bytes
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        self._network = Network(clock)
        self._session = _Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(self._network, max_idle_connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._closed = False
        _silence()

    def exchange(self, url: str, method: str = "GET") -> RawAnswer:
        """See ``Transport``."""
        started_seconds = self._clock.monotonic_seconds()
        deadline = Deadline(self._clock, self._timeout_seconds)
        failure: TransportError
        try:
            status, body, headers = self._ask(method, url, deadline)
        except _FOREIGN_ERRORS as error:
            failure = self._failure(error, url, deadline)
        else:
            elapsed_seconds = self._clock.monotonic_seconds() - started_seconds
            date_at = _moment_at(headers.get("Date"))
            return RawAnswer(status, body, date_at, elapsed_seconds, _quota_headers(headers))
        # Outside the handler: chained to the library's error, it would carry the signed URL along.
        raise failure

    def close(self) -> None:
        """End running exchanges with an error, and close all connections. No more can be made."""
        self._closed = True
        self._network.break_off()
        self._session.close()

    def _ask(
        self, method: str, url: str, deadline: Deadline
    ) -> tuple[int, bytes, Mapping[str, str]]:
        if self._closed:
            raise _failed("connection", "the connections to the cloud are closed")
        request = requests.Request(method, url, headers=self._headers).prepare()
        request.url = url  # what prepare() makes of it may be spelled differently
        settings = self._session.merge_environment_settings(
            url, proxies={}, stream=True, verify=self._ca_file or True, cert=None
        )
        _check_proxy(select_proxy(url, settings["proxies"]))
        response = self._session.send(
            request,
            timeout=deadline,  # type: ignore[arg-type] # its stubs know numbers only
            allow_redirects=False,
            **settings,
        )
        with closing(response):
            status = response.status_code
            if status == _PROXY_LOGIN:
                raise _refused_by_proxy(status)
            if status // 100 == _REDIRECTS:
                raise _failed("redirect", f"the server redirects the call (HTTP {status})")
            try:
                body = self._body(response)
            except _FOREIGN_ERRORS:
                if status // 100 == _SUCCESSES:
                    raise
                body = b""  # the status says enough
            return status, body, response.headers

    def _body(self, response: requests.Response) -> bytes:
        stated = response.headers.get("Content-Length", "")
        if stated.isdecimal() and int(stated[:20]) > self._max_answer_bytes:
            raise self._too_large()
        parts, size = [], 0
        for part in _decoded(response, self._max_answer_bytes):
            size += len(part)
            if size > self._max_answer_bytes:
                raise self._too_large()
            parts.append(part)
        return b"".join(parts)

    def _too_large(self) -> TransportError:
        limit = self._max_answer_bytes
        return _failed("too_large", f"the answer is larger than {limit} bytes")

    def _failure(self, error: Exception, url: str, deadline: Deadline) -> TransportError:
        causes = tuple(_causes(error))
        try:
            host = urlsplit(url).hostname or "the endpoint"
        except ValueError:
            host = "the endpoint"
        through = " through the proxy" if _first(causes, ProxyError) else ""
        if deadline.passed or any(map(_is_timeout, causes)):
            seconds = f"{self._timeout_seconds:g} s"
            return _failed("timeout", f"no complete answer from {host}{through} within {seconds}")
        for cause in causes:
            if no_tunnel := _NO_TUNNEL.match(str(cause)):
                return _refused_by_proxy(int(no_tunnel[1]))
        reason, what = _what_happened(causes)
        return _failed(reason, f"{what} ({host}{through})")


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: else requests would read a redirect's body, whatever its size, to prepare it."""
        del resp
        return None


class _Adapter(HTTPAdapter):
    """requests' own, with connections that keep deadlines."""

    def __init__(self, network: Network, max_idle_connections: int) -> None:
        self._pool_classes = pool_classes(network)
        self._trust = Trust()
        super().__init__(pool_maxsize=max_idle_connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._trust.context, **kwargs)
        self._keep_deadlines(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        self._trust.add(DEFAULT_CA_BUNDLE_PATH)  # the proxy itself may be reached by TLS
        kwargs |= {"ssl_context": self._trust.context, "proxy_ssl_context": self._trust.context}
        return self._keep_deadlines(super().proxy_manager_for(proxy, **kwargs))

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Trust the file that is to be trusted as well; requests would let it replace all else."""
        del cert
        conn.cert_reqs = "CERT_REQUIRED"
        if not url.startswith("https:"):
            return
        self._trust.add(DEFAULT_CA_BUNDLE_PATH)
        if verify is not True:
            if not Path(verify).exists():
                raise _failed("tls", f"the file of trusted issuers {verify} does not exist")
            self._trust.add(verify)

    def _keep_deadlines(self, manager: PoolManager) -> PoolManager:
        manager.pool_classes_by_scheme = self._pool_classes
        return manager


def _check_proxy(proxy: str | None) -> None:
    """Raises TransportError if the proxy is none that can be used. It may hold a password."""
    scheme, host = _scheme_and_host(proxy) if proxy else ("http", "none")
    if scheme not in {"http", "https"}:
        raise _failed("proxy", f"a proxy of the kind {scheme} is not supported")
    if not host:
        raise _failed("proxy", "the environment's proxy is no URL with a host")


def _scheme_and_host(proxy: str) -> tuple[str, str]:
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy.lstrip('/')}")
        host = (parts.hostname or "") if parts.port != 0 else ""
    except ValueError:
        return "http", ""
    return parts.scheme, "" if re.search(r"\s", host) else host


def _refused_by_proxy(status: int) -> TransportError:
    if status == _PROXY_LOGIN:
        return _failed("proxy", f"the proxy wants a login, or another one (HTTP {status})")
    reason = "connection" if status // 100 == _SERVERS_FAULT else "proxy"
    return _failed(reason, f"the proxy does not connect to the endpoint (HTTP {status})")


def _decoded(response: requests.Response, most_bytes: int) -> Iterator[bytes]:
    """The body in parts, unzipped no further than a little beyond ``most_bytes``."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    # read(), not stream(): older urllib3 reads the sizes of chunks there as lines of any length.
    parts = iter(lambda: response.raw.read(_CHUNK_BYTES, decode_content=False), b"")
    if encoding in {"identity", ""}:
        yield from parts
        return
    if encoding != "gzip":
        raise _failed("connection", "the answer has a content encoding that was not asked for")
    unzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    for part in parts:
        yield unzip.decompress(part, most_bytes + 1)
    if not unzip.eof:
        raise http.client.IncompleteRead(b"")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps, outermost first."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]


def _is_timeout(cause: BaseException) -> bool:
    # urllib3 counts every connection that cannot be made as one that timed out.
    if isinstance(cause, NewConnectionError):
        return False
    return isinstance(cause, TimeoutError | requests.Timeout | Urllib3TimeoutError)


def _first(causes: tuple[BaseException, ...], *kinds: type[BaseException]) -> Any:
    return next((cause for cause in causes if isinstance(cause, kinds)), None)


_WHAT_HAPPENED: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), "connection", "the connection broke off"),
    ((ssl.SSLError, Urllib3SSLError, requests.exceptions.SSLError), "tls", "TLS failed"),
    ((socket.gaierror,), "connection", "the host name cannot be resolved"),
    (
        (http.client.RemoteDisconnected,),
        "connection",
        "the connection was closed without an answer",
    ),
    (
        (http.client.IncompleteRead,),
        "connection",
        "the connection broke off in the middle of an answer",
    ),
    ((http.client.HTTPException, zlib.error), "connection", "the answer is not valid HTTP"),
)
"""The first that an error or a cause of it fits; texts that cannot hold a part of the URL."""


def _what_happened(causes: tuple[BaseException, ...]) -> tuple[str, str]:
    if unverified := _first(causes, ssl.SSLCertVerificationError):
        return "tls", f"the certificate is not trusted: {unverified.verify_message}"
    for kinds, reason, what in _WHAT_HAPPENED:
        if _first(causes, *kinds):
            # OpenSSL's words, such as WRONG_VERSION_NUMBER.
            words = (
                getattr(_first(causes, ssl.SSLError), "reason", None) if reason == "tls" else None
            )
            return reason, f"{what}: {words.replace('_', ' ').lower()}" if words else what
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return "connection", f"the connection failed: {cause.strerror}"
    return "connection", f"the connection failed: {type(causes[-1]).__name__}"


def _failed(reason: str, message: str) -> TransportError:
    return TransportError(reason, message, retryable=reason in _RETRYABLE, advice=_ADVICE[reason])


def _moment_at(date: str | None) -> float | None:
    """The moment of a ``Date`` header; None if it has none that can be read."""
    try:
        moment = email.utils.parsedate_to_datetime(date or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _quota_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    named = ((name.lower(), value.strip()) for name, value in headers.items())
    return tuple(
        (name, value)
        for name, value in named
        if _QUOTA_HEADER.search(name) and _NUMBERS.fullmatch(value)
    )


def _silence() -> None:
    """Drop the log lines of urllib3 that have URLs; a filter that is there is not added again."""
    for name in _LOGGERS_WITH_URLS:
        logging.getLogger(name).addFilter(_drop)


def _drop(record: logging.LogRecord) -> bool:
    del record
    return False
