"""The routes, as an ASGI application made from the parts that are passed in.

``/metrics`` is answered here directly, since it is asked for all the time and its bytes are ready;
everything else goes through Starlette's router.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, Router

from exporter.web.access import BasicAuth, Verdict
from exporter.web.crowd import peer_of
from exporter.web.exposition import Exposition
from exporter.web.look import ICON, ICON_PATH, IMAGE_POLICY
from exporter.web.manual import INDEX, Leaf
from exporter.web.negotiation import accepts_gzip, choose_format
from exporter.web.rendering import encode
from exporter.web.threads import in_thread

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""On every answer, unless the web configuration or the answer itself says otherwise."""

_LOG = logging.getLogger(__name__)
_READ_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class WebParts:
    """What the routes show and do. The callables must not block, unless they say so."""

    exposition: Exposition
    health: Callable[[], str | None]
    """Why the program is not healthy; None if it is."""
    ready: Callable[[], str | None]
    """What is still being waited for after the start; None when nothing is."""
    reload: Callable[[], str | None]
    """Load the configuration anew: what is wrong with it, or None if it is in use now. May block."""
    page: Callable[[str, Mapping[str, str]], tuple[str, str]]
    """The landing page for the value of an ``Accept-Language`` header and a query: HTML, and its
    ``Content-Security-Policy``. This one and the next may take a while."""
    manual: Callable[[str], Leaf | None]
    """What the documentation has at a path below ``/docs/``."""


@dataclass(frozen=True, slots=True)
class WebOptions:
    """What the command line says about the routes."""

    telemetry_path: str = "/metrics"
    enable_lifecycle: bool = False
    route_prefix: str = ""
    """Before the path of every route: empty, or such as ``/ehpc``."""
    external_url: str = ""
    """Under which browsers may know us; empty if that is not told."""


class WebApp:
    """The ASGI application."""

    def __init__(
        self,
        parts: WebParts,
        options: WebOptions,
        *,
        users: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._parts = parts
        self._options = options
        self._routes = _routes(parts, options)
        self._auth: BasicAuth | None = None
        self.protect(users or {}, headers or {})

    def protect(self, users: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Let in only these users (bcrypt hashes by name), all if there are none; answer with
        these headers. Takes effect with the next request."""
        lowered = {name.lower(): value for name, value in headers.items()}
        merged = {**SECURITY_HEADERS, **lowered}
        self._headers = [(name.encode(), value.encode("latin-1")) for name, value in merged.items()]
        self._configured = frozenset(name.encode() for name in lowered)
        if self._auth is not None and users:
            self._auth.change(users)
        else:
            self._auth = BasicAuth(users) if users else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Never raises: what goes wrong is logged and answered with 500."""
        if scope["type"] != "http":
            return
        answer = _Answer(send, self._headers, self._configured)
        try:
            verdict = await self._admits(scope)
            if verdict is not Verdict.ADMITTED:
                await _turn_away(verdict)(scope, receive, answer.send)
            else:
                await self._route(scope, receive, answer)
        except _Gone as gone:
            _LOG.debug("a client did not get its answer", extra={"cause": repr(gone.__cause__)})
        except Exception:
            _LOG.exception("a request could not be answered", extra={"path": scope["path"]})
            if not answer.begun:
                await PlainTextResponse("internal error\n", 500)(scope, receive, answer.send)

    async def _admits(self, scope: Scope) -> Verdict:
        if self._auth is None:
            return Verdict.ADMITTED
        host, _ = scope.get("client") or ("", 0)
        return await self._auth.admits(_header(scope, b"authorization"), peer_of(host))

    async def _route(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        path, prefix = scope["path"], self._options.route_prefix
        inside = path.removeprefix(prefix)
        if prefix and path in {"/", prefix}:
            landing = f".{prefix}/" if path == "/" else f"./{prefix.rpartition('/')[2]}/"
            await RedirectResponse(landing)(scope, receive, answer.send)
        elif not path.startswith(f"{prefix}/"):
            await _not_found()(scope, receive, answer.send)
        elif inside == self._options.telemetry_path:
            await self._metrics(scope, receive, answer)
        else:
            await self._routes({**scope, "path": inside}, receive, answer.send)

    async def _metrics(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        if scope["method"] not in _READ_METHODS:
            refusal = PlainTextResponse("method not allowed\n", 405, {"allow": "GET, HEAD"})
            await refusal(scope, receive, answer.send)
            return
        choice = choose_format(_header(scope, b"accept"))
        compressed = accepts_gzip(_header(scope, b"accept-encoding"))
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        names = frozenset(query.get("name[]", ()))
        body = self._parts.exposition.scrape(
            choice.format, compressed=compressed, several=_scrapes(scope), names=names
        )
        headers = [
            (b"content-type", choice.content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"vary", b"accept, accept-encoding"),
        ]
        if compressed:
            headers.append((b"content-encoding", b"gzip"))
        await answer.send({"type": "http.response.start", "status": 200, "headers": headers})
        await answer.send({"type": "http.response.body", "body": body})


class _Answer:
    """Sends an answer with the headers that all have, and knows whether it has begun."""

    def __init__(self, send: Send, headers: Headers, configured: frozenset[bytes]) -> None:
        self._send = send
        self._headers = headers
        self._configured = configured
        self.begun = False

    async def send(self, message: Message) -> None:
        """Pass a message on. Configured headers win over the answer's, those over our defaults."""
        if message["type"] == "http.response.start":
            self.begun = True
            own = [pair for pair in message["headers"] if pair[0] not in self._configured]
            names = {name for name, _ in own}
            message["headers"] = own + [pair for pair in self._headers if pair[0] not in names]
        try:
            await self._send(message)
        except Exception as error:
            raise _Gone from error


class _Gone(Exception):  # noqa: N818 - an end, not a failure
    """The connection does not take an answer any more, such as after a broken request body."""


def _routes(parts: WebParts, options: WebOptions) -> Router:
    async def landing(request: Request) -> Response:
        language, query = request.headers.get("accept-language", ""), request.query_params
        html, policy = await in_thread("web-page", lambda: parts.page(language, query))
        headers = {"content-security-policy": policy, "vary": "accept-language"}
        return HTMLResponse(encode(html), headers=headers)

    async def icon(_: Request) -> Response:
        headers = {"content-security-policy": IMAGE_POLICY, "cache-control": "max-age=86400"}
        return Response(ICON, headers=headers, media_type="image/svg+xml")

    async def healthy(_: Request) -> Response:
        return _status(parts.health(), "healthy")

    async def ready(_: Request) -> Response:
        return _status(parts.ready(), "ready")

    async def reload(request: Request) -> Response:
        if not options.enable_lifecycle:
            message = "reloading by HTTP is off; start with --web.enable-lifecycle to allow it\n"
            return PlainTextResponse(message, 403)
        if _is_from_elsewhere(request, options.external_url):
            return PlainTextResponse("another site's page has no business here\n", 403)
        problem = await in_thread("web-reload", parts.reload)
        if problem is not None:
            return PlainTextResponse(f"the configuration was not reloaded:\n{problem}\n", 500)
        return PlainTextResponse("the configuration was reloaded\n")

    return Router(
        [
            Route("/", landing, methods=["GET"]),
            Route(ICON_PATH, icon, methods=["GET"]),
            *_manual_routes(parts.manual),
            Route("/-/healthy", healthy, methods=["GET"]),
            Route("/-/ready", ready, methods=["GET"]),
            Route("/-/reload", reload, methods=["POST", "PUT"]),
        ],
        redirect_slashes=False,
    )


def _manual_routes(leaf_at: Callable[[str], Leaf | None]) -> list[Route]:
    async def index(_: Request) -> Response:
        return RedirectResponse(INDEX)

    async def manual(request: Request) -> Response:
        path = request.path_params["path"]
        leaf = await in_thread("web-manual", lambda: leaf_at(path))
        if leaf is not None:
            return _leaf(leaf, request.headers.get("if-none-match", ""))
        name = path.removesuffix("/").removesuffix(".md")
        if name != path and name and leaf_at(name) is not None:
            up = "../" * path.count("/") or "./"
            return RedirectResponse(up + name)  # browsers keep the #section
        return _not_found()

    return [
        Route("/docs", index, methods=["GET"]),
        Route("/docs/{path:path}", manual, methods=["GET"]),
    ]


def _is_from_elsewhere(request: Request, external_url: str) -> bool:
    """Whether a browser sends this for a page of another site, with the reader's own password
    perhaps. Browsers say so; what says nothing of the kind is no browser."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    if origin is None:
        return False
    ours = {request.headers.get("host", "").lower(), urlsplit(external_url).netloc.lower()}
    return origin.partition("://")[2].lower() not in ours - {""}


def _not_found() -> Response:
    return PlainTextResponse("not found\n", 404)


def _status(problem: str | None, word: str) -> Response:
    if problem is None:
        return PlainTextResponse(f"{word}\n")
    return PlainTextResponse(f"not {word}: {problem}\n", 503)


def _leaf(leaf: Leaf, known_tags: str) -> Response:
    """A page of the manual; to be asked for again each time, and sent only if it has changed."""
    headers = {
        "etag": leaf.tag,
        "cache-control": "private, no-cache",
        "content-security-policy": leaf.policy,
    }
    if leaf.tag in known_tags:
        return Response(status_code=304, headers=headers)
    return Response(leaf.body, headers=headers, media_type=leaf.media_type)


def _turn_away(verdict: Verdict) -> Response:
    if verdict is Verdict.BUSY:
        return PlainTextResponse("too many sign-ins at once\n", 503, {"retry-after": "1"})
    challenge = {"www-authenticate": 'Basic realm="ehpc-exporter", charset="UTF-8"'}
    return PlainTextResponse("unauthorized\n", 401, challenge)


def _scrapes(scope: Scope) -> bool:
    """Whether this is a scraper: Prometheus, and all that scrape as it does, say so, and read all
    members of a gzip stream. Of others, some read only the first."""
    return bool(_header(scope, b"x-prometheus-scrape-timeout-seconds"))


def _header(scope: Scope, name: bytes) -> str:
    """The header's values, joined as HTTP allows; empty where there is none."""
    values = [value for key, value in scope["headers"] if key == name]
    return b",".join(values).decode("latin-1")
