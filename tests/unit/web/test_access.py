"""Basic authentication: right, even in effort, cheap where it can be, and no secret kept."""

import asyncio
import base64
import threading

import bcrypt
import pytest

from exporter.web import access
from exporter.web.access import BasicAuth, Verdict
from exporter.web.app import WebApp, WebOptions
from tests.unit.web.asgi import ask, make_parts
from tests.waiting import PATIENCE_SECONDS

HASHES = {
    "alice": bcrypt.hashpw(b"wonderland", bcrypt.gensalt(4)).decode(),
    "用户": bcrypt.hashpw("密码:x".encode(), bcrypt.gensalt(5)).decode(),
}


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The hashes against which bcrypt was asked."""
    made: list[bytes] = []
    real = bcrypt.checkpw

    def check(password: bytes, hashed: bytes) -> bool:
        made.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", check)
    return made


def admit(*headers: str) -> list[Verdict]:
    async def run() -> list[Verdict]:
        auth = BasicAuth(HASHES)
        return [await auth.admits(header, "") for header in headers]

    return asyncio.run(run())


@pytest.mark.parametrize("header", [basic("alice", "wonderland"), basic("用户", "密码:x")])
def test_the_right_password_opens(header: str) -> None:
    assert admit(header, header.replace("Basic", "bAsIc")) == [Verdict.ADMITTED] * 2


@pytest.mark.parametrize(
    "header",
    [
        "", "Basic", "Basic ", "Basic !!!!", "Basic YWxpY2U=", "Bearer x", "Basic /////w==",
        basic("alice", "wrong"), basic("alice", ""), basic("Alice", "wonderland"),
        basic("bob", "wonderland"), basic("alice", "wonderland\0"), basic("alice", "w" * 5000),
        basic("用户", "wonderland"), basic("", ""), "Basic \xff",
    ],
)  # fmt: skip
def test_everything_else_does_not(header: str) -> None:
    assert admit(header, header) == [Verdict.REFUSED] * 2


def test_without_users_everybody_comes_in() -> None:
    assert asyncio.run(BasicAuth({}).admits("", "")) is Verdict.ADMITTED


def test_what_was_checked_is_remembered(checks: list[bytes]) -> None:
    right, wrong = basic("alice", "wonderland"), basic("alice", "wrong")
    admit(right, right, wrong, right, wrong, wrong)
    assert len(checks) == 2


def test_an_unknown_user_costs_a_check_of_the_highest_price(checks: list[bytes]) -> None:
    admit(basic("bob", "wonderland"), basic("eve", "x" * 100))
    assert [hashed[:7] for hashed in checks] == [b"$2b$05$", b"$2b$05$"]


def test_a_crowd_with_one_password_costs_one_check(checks: list[bytes]) -> None:
    async def run() -> list[Verdict]:
        auth = BasicAuth(HASHES)
        header = basic("alice", "wonderland")
        return list(await asyncio.gather(*[auth.admits(header, str(n)) for n in range(8)]))

    assert asyncio.run(run()) == [Verdict.ADMITTED] * 8
    assert len(checks) == 1


def test_guessing_does_not_push_out_who_scrapes(
    checks: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_REMEMBERED", 3)
    right = basic("alice", "wonderland")
    guesses = [basic("alice", f"guess{n}") for n in range(10)]
    admit(right, *guesses, right)
    assert len(checks) == 11


def test_a_peer_that_guesses_fills_its_own_places_and_nobody_elses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who are known come in at once, and those who are not when it is their turn."""
    go_on = threading.Event()

    def check(password: bytes, _: bytes) -> bool:
        assert go_on.wait(PATIENCE_SECONDS)
        return password == b"wonderland"

    monkeypatch.setattr(bcrypt, "checkpw", check)

    async def run() -> None:
        auth = BasicAuth(HASHES)
        right = basic("alice", "wonderland")
        crowd = [asyncio.create_task(auth.admits(basic("x", str(n)), "guesser")) for n in range(40)]
        await asyncio.sleep(0)
        friend = asyncio.create_task(auth.admits(right, "friend"))
        await asyncio.sleep(0)
        assert await auth.admits(basic("x", "one more"), "guesser") is Verdict.BUSY
        go_on.set()
        assert await friend is Verdict.ADMITTED
        verdicts = await asyncio.gather(*crowd)
        assert (verdicts.count(Verdict.REFUSED), verdicts.count(Verdict.BUSY)) == (4, 36)
        assert await auth.admits(right, "guesser") is Verdict.ADMITTED
        assert await auth.admits(basic("x", "later"), "guesser") is Verdict.REFUSED
        assert not auth._waiting

    asyncio.run(run())


def test_a_change_of_users_forgets_nobody_who_has_stayed(checks: list[bytes]) -> None:
    alice, other = basic("alice", "wonderland"), basic("用户", "密码:x")
    changed = {"alice": HASHES["alice"], "用户": HASHES["alice"], "bob": HASHES["alice"]}

    async def run() -> None:
        auth = BasicAuth(HASHES)
        guess = basic("bob", "wonderland")
        assert await auth.admits(alice, "") is Verdict.ADMITTED
        assert await auth.admits(other, "") is Verdict.ADMITTED
        assert await auth.admits(guess, "") is Verdict.REFUSED
        checks.clear()
        auth.change(changed)
        assert await auth.admits(alice, "") is Verdict.ADMITTED
        assert checks == []
        assert await auth.admits(other, "") is Verdict.REFUSED
        assert await auth.admits(guess, "") is Verdict.ADMITTED
        auth.change({"bob": HASHES["alice"]})
        assert await auth.admits(alice, "") is Verdict.REFUSED

    asyncio.run(run())


def test_a_password_that_is_checked_while_users_change_does_not_open_for_the_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    real = bcrypt.checkpw

    def check(password: bytes, hashed: bytes) -> bool:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", check)

    async def run() -> None:
        auth = BasicAuth(HASHES)
        alice = basic("alice", "wonderland")
        asked = asyncio.create_task(auth.admits(alice, ""))
        assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
        auth.change({"alice": HASHES["用户"]})
        go_on.set()
        await asked
        assert await auth.admits(alice, "") is Verdict.REFUSED

    asyncio.run(run())


def test_no_password_is_kept() -> None:
    async def run() -> str:
        auth = BasicAuth(HASHES)
        await auth.admits(basic("alice", "wonderland"), "")
        return repr(vars(auth))

    kept = asyncio.run(run())
    assert "wonderland" not in kept
    assert base64.b64encode(b"alice:wonderland").decode() not in kept


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/reload", "/nowhere"])
def test_every_route_is_behind_the_door(path: str) -> None:
    app = WebApp(make_parts(), WebOptions(enable_lifecycle=True), users=HASHES)
    answer = ask(app, path, "POST" if "reload" in path else "GET")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="ehpc-exporter", charset="UTF-8"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "ehpc_" not in answer.text


def test_who_is_let_in_gets_the_metrics() -> None:
    app = WebApp(make_parts(), WebOptions(), users=HASHES)
    assert ask(app, "/metrics", authorization=basic("alice", "wonderland")).status == 200
    assert ask(app, "/metrics", authorization=basic("alice", "no")).status == 401


def test_users_can_change_while_it_runs() -> None:
    app = WebApp(make_parts(), WebOptions(), users=HASHES)
    app.protect({}, {"X-Frame-Options": "SAMEORIGIN"})
    answer = ask(app, "/metrics")
    assert (answer.status, answer.headers["x-frame-options"]) == (200, "SAMEORIGIN")


def test_a_reload_that_leaves_the_users_alone_costs_no_check(checks: list[bytes]) -> None:
    app = WebApp(make_parts(), WebOptions(), users=HASHES)
    alice = basic("alice", "wonderland")
    assert ask(app, "/metrics", authorization=alice).status == 200
    app.protect(dict(HASHES), {})
    assert ask(app, "/metrics", authorization=alice).status == 200
    assert len(checks) == 1


def test_too_many_at_once_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(_self: BasicAuth, _header: str, _peer: str) -> Verdict:
        return Verdict.BUSY

    monkeypatch.setattr(BasicAuth, "admits", busy)
    answer = ask(WebApp(make_parts(), WebOptions(), users=HASHES), "/metrics")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
