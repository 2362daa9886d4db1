"""The routes."""

import asyncio
import dataclasses
import gzip
import logging
import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urljoin

import pytest

from exporter.web.app import SECURITY_HEADERS, WebApp, WebOptions
from tests.unit.web.asgi import ask, make_app, make_parts

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def test_an_icon_for_the_browsers_tab() -> None:
    answer = ask(make_app(), "/favicon.svg")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.text.startswith("<svg")


def test_metrics_as_text() -> None:
    answer = ask(make_app(), "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["vary"] == "accept, accept-encoding"
    assert "content-encoding" not in answer.headers
    assert 'ehpc_up{cluster_name="cfd"} 1.0\n' in answer.text


def test_metrics_as_openmetrics_compressed() -> None:
    answer = ask(make_app(), "/metrics", accept=OPENMETRICS, accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-length"] == str(len(answer.body))
    assert gzip.decompress(answer.body).endswith(b"# EOF\n")


def test_head_announces_what_get_gives() -> None:
    app = make_app()
    head, get = ask(app, "/metrics", "HEAD"), ask(app, "/metrics")
    assert (head.status, head.headers) == (get.status, get.headers)


@pytest.mark.parametrize("path", ["/", "/-/healthy", "/-/ready"])
def test_head_of_other_routes(path: str) -> None:
    assert ask(make_app(), path, "HEAD").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
def test_other_methods_are_not_allowed(path: str, method: str) -> None:
    answer = ask(make_app(), path, method)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path",
    ["/metrics/", "/metric", "/-/", "/-/healthy/", "/favicon.ico", "//", "/../etc/passwd", ""],
)
def test_unknown_paths(path: str) -> None:
    assert ask(make_app(), path).status == 404


def test_the_telemetry_path_is_a_matter_of_choice() -> None:
    app = make_app("/custom")
    assert "ehpc_up" in ask(app, "/custom").text
    assert ask(app, "/metrics").status == 404


def prefixed(prefix: str) -> WebApp:
    return WebApp(make_parts(), WebOptions(route_prefix=prefix))


@pytest.mark.parametrize("prefix", ["/ehpc", "/a/b"])
def test_every_route_can_be_below_a_path(prefix: str) -> None:
    app = prefixed(prefix)
    assert "ehpc_up" in ask(app, f"{prefix}/metrics").text
    for path in ("/", "/favicon.svg", "/docs/", "/docs/operations", "/-/healthy", "/-/ready"):
        assert ask(app, prefix + path).status == 200
        if path != "/":
            assert ask(app, path).status == 404
    assert ask(app, f"{prefix}/-/reload", "POST").status == 403
    assert ask(app, "/metrics").status == 404
    assert ask(app, f"{prefix}metrics").status == 404
    assert ask(app, f"{prefix}{prefix}/metrics").status == 404


@pytest.mark.parametrize("prefix", ["/ehpc", "/a/b"])
@pytest.mark.parametrize("path", ["/", ""])
def test_what_is_just_above_leads_there(prefix: str, path: str) -> None:
    asked = path or prefix
    answer = ask(prefixed(prefix), asked)
    assert answer.status == 307
    assert urljoin(asked, answer.headers["location"]) == f"{prefix}/"


@pytest.mark.parametrize("path", ["/docs", "/docs/operations.md", "/docs/metrics/"])
def test_redirects_stay_below_the_path_that_a_proxy_takes_away(path: str) -> None:
    answer = ask(make_app(), path)
    assert answer.status == 307
    landed = urljoin(f"https://example.org/far/away{path}", answer.headers["location"])
    assert landed.startswith("https://example.org/far/away/docs/")
    assert ask(make_app(), landed.removeprefix("https://example.org/far/away")).status == 200


def test_metrics_can_take_the_place_of_the_landing_page() -> None:
    assert "ehpc_up" in ask(make_app("/"), "/").text


@pytest.mark.parametrize(("path", "word"), [("/-/healthy", "healthy"), ("/-/ready", "ready")])
def test_probes(path: str, word: str) -> None:
    answer = ask(make_app(), path)
    assert (answer.status, answer.text) == (200, f"{word}\n")
    bad = WebApp(make_parts(health=lambda: "why", ready=lambda: "why"), WebOptions())
    answer = ask(bad, path)
    assert (answer.status, answer.text) == (503, f"not {word}: why\n")


def test_reloading_needs_the_flag() -> None:
    called: list[None] = []
    parts = make_parts(reload=lambda: called.append(None))
    answer = ask(WebApp(parts, WebOptions()), "/-/reload", "POST")
    assert answer.status == 403
    assert "--web.enable-lifecycle" in answer.text
    assert called == []


def test_reloading() -> None:
    answer = ask(make_app(lifecycle=True), "/-/reload", "POST")
    assert answer.status == 200
    assert ask(make_app(lifecycle=True), "/-/reload").status == 405
    failing = WebApp(
        make_parts(reload=lambda: "clusters[0].zone: missing"), WebOptions(enable_lifecycle=True)
    )
    answer = ask(failing, "/-/reload", "POST")
    assert answer.status == 500
    assert "clusters[0].zone: missing" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": "http://localhost:10046"},
        {"origin": "https://evil.invalid"},
        {"origin": "http://localhost:80"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:10046.evil.invalid"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_another_sites_page_cannot_reload(headers: dict[str, str], method: str) -> None:
    called: list[None] = []
    parts = make_parts(reload=lambda: called.append(None))
    app = WebApp(parts, WebOptions(enable_lifecycle=True))
    answer = ask(app, "/-/reload", method, host="localhost:10046", **headers)
    assert (answer.status, called) == (403, [])
    assert ask(app, "/metrics", host="localhost:10046", **headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "same-origin", "origin": "https://example.org"},
        {"origin": "http://localhost:10046"},
        {"origin": "https://Example.org"},
    ],
)
def test_our_own_pages_and_programs_can(headers: dict[str, str]) -> None:
    options = WebOptions(enable_lifecycle=True, external_url="https://example.org/ehpc")
    app = WebApp(make_parts(), options)
    assert ask(app, "/-/reload", "POST", host="localhost:10046", **headers).status == 200


def test_metrics_by_name() -> None:
    text = ask(make_app(), "/metrics?name[]=ehpc_up&name%5B%5D=ehpc_jobs").text
    assert re.findall("^# TYPE (\\w+)", text, re.MULTILINE) == ["ehpc_jobs", "ehpc_up"]
    assert ask(make_app(), "/metrics?name=ehpc_up").text == ask(make_app(), "/metrics").text


def test_the_page_is_given_what_the_address_asks_for() -> None:
    page = lambda _, query: (f"<p>{query.get('cluster')}", "")  # noqa: E731
    app = WebApp(dataclasses.replace(make_parts(), page=page), WebOptions())
    assert ask(app, "/?cluster=a%20b&show=failing").text == "<p>a b"


def test_the_page_is_given_in_the_readers_language() -> None:
    answer = ask(make_app(), "/", accept_language="zh-CN")
    assert answer.text == "<p>page for zh-CN"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == "default-src 'self'"
    assert answer.headers["vary"] == "accept-language"


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/nowhere"])
def test_security_headers_are_on_every_answer(path: str) -> None:
    answer = ask(make_app(), path)
    for name, value in SECURITY_HEADERS.items():
        if (path, name) != ("/", "content-security-policy"):
            assert answer.headers[name] == value
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/metrics", "/nowhere"])
def test_configured_headers_win(path: str) -> None:
    headers = {"X-Frame-Options": "SAMEORIGIN", "Content-Security-Policy": "sandbox"}
    app = WebApp(make_parts(), WebOptions(), headers=headers)
    answer = ask(app, path)
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["content-security-policy"] == "sandbox"


def test_an_error_of_ours_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> str | None:
        raise RuntimeError("secret detail")

    app = WebApp(make_parts(health=broken), WebOptions())
    with caplog.at_level(logging.ERROR):
        answer = ask(app, "/-/healthy")
    assert answer.status == 500
    assert "secret" not in answer.text
    assert "could not be answered" in caplog.text


def test_a_client_that_is_gone_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def send(_: object) -> None:
        raise RuntimeError("the connection is closed")

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    for path in ("/metrics", "/-/ready"):
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": []}
        asyncio.run(make_app()(scope, receive, send))
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_broken_part_leaves_metrics_alone() -> None:
    def broken(*_: object) -> tuple[str, str]:
        raise RuntimeError

    app = WebApp(dataclasses.replace(make_parts(), page=broken), WebOptions())
    assert ask(app, "/").status == 500
    assert ask(app, "/metrics").status == 200


def test_a_lone_surrogate_does_not_spoil_the_page() -> None:
    parts = dataclasses.replace(make_parts(), page=lambda *_: ("<p>a\ud800b", ""))
    assert ask(WebApp(parts, WebOptions()), "/").text == "<p>a?b"


def test_odd_headers_are_no_error() -> None:
    app = make_app()
    assert ask(app, "/metrics", accept="\xff\xfe;q=\xb2", accept_encoding="\xff").status == 200
