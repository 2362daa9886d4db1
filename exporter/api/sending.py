"""The one way in which every call is made: admitted by the budget, signed, sent, decoded, and
retried a few times. A retry is a new call with its own budget entry, signature and count."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Generic, Protocol, TypeVar
from urllib.parse import unquote

from exporter.api import refusal, transport
from exporter.api.answer import find_refusal
from exporter.api.budget import CallGate
from exporter.api.retry import Allowance, Pace, RetryPolicy
from exporter.api.signature import signed_query
from exporter.clock import Clock
from exporter.errors import ApiError, ExporterError, HttpStatusError, RefusedError, Stopped
from exporter.redaction import Redactor

FAILURE_REASONS = (
    *transport.REASONS,
    *("http_4xx", "http_429", "http_5xx", "http_other", "payload"),
    *refusal.REASONS,
)
"""Every ``reason`` with which a call that was sent can fail."""

_LEAST_SKEW_SECONDS = 5.0
"""The server allows for 60 s: a correction of less than this is not what it wants."""

_MOST_SKEW_SECONDS = 120.0

_HTTP_OK = 200


@dataclass(frozen=True, slots=True)
class Credentials:
    """The keys of an account; not shown by ``repr``."""

    access_key_id: str = field(repr=False)
    secret: str = field(repr=False)


class CallTelemetry(Protocol):
    """What is told about each call, to be counted."""

    def api_call_sent(self, account: str) -> None:
        """A call is about to be sent."""
        ...

    def api_call_failed(self, account: str, reason: str) -> None:
        """A call that was sent gave no page."""
        ...

    def api_call_took(self, account: str, seconds: float) -> None:
        """How long a call took, whatever came of it."""
        ...

    def label_values_cut(self, cluster_name: str, values: int) -> None:
        """An answer had names that were too long for a label."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Which remote list is meant, and the zone of its times that carry none."""

    name: str
    cluster_id: str
    zone: str
    timezone: tzinfo


@dataclass(frozen=True, slots=True)
class Seal:
    """What a call is signed with."""

    credentials: Credentials
    skew_seconds: float
    """Added to our clock to give the server's."""
    plain_slash: bool
    """Whether a ``/`` in a value is signed as it is."""


Answer = TypeVar("Answer")
Scrub = Callable[[str], str]
"""Removes secrets from texts of the server."""


@dataclass(frozen=True, slots=True)
class Question(Generic[Answer]):
    """What one call sends, beside what every call sends."""

    path: str
    parameters: Mapping[str, str]
    decode: Callable[[bytes, float, Scrub], Answer]
    """Reads the answer's body, which came at this moment of the server's."""
    method: str = "GET"
    """Or ``POST``; with either, the parameters are in the query and there is no body."""


class _ClockError(RefusedError):
    """Code 1300, with what the answer says about the server's clock."""

    skew_seconds: float | None = None
    """The server's clock minus ours; None if the answer does not say."""


class Sender:
    """Makes the calls of one account. Threads may share it."""

    def __init__(
        self,
        *,
        account: str,
        endpoint: str,
        credentials: Callable[[], Credentials],
        credentials_after_refusal: Callable[[], Credentials] | None = None,
        transport: transport.Transport,
        gate: CallGate,
        telemetry: CallTelemetry,
        clock: Clock,
        random: random.Random,
        policy: RetryPolicy | None = None,
        user_id: str = "",
    ) -> None:
        """``endpoint`` is the URL before ``/api/job/list``. ``credentials`` is asked before every
        call, so that renewed keys are used; ``credentials_after_refusal`` in its place when the cloud has
        just refused those. If one raises an ``ExporterError``, the call fails with the reason
        ``authentication`` and is not sent. ``user_id`` is the account's own, where the server wants it."""
        self._account = account
        self._endpoint = endpoint.rstrip("/")
        self._credentials = credentials
        self._credentials_after_refusal = credentials_after_refusal or credentials
        self._transport = transport
        self._gate = gate
        self._telemetry = telemetry
        self._clock = clock
        self._random = random
        self.policy = policy or RetryPolicy()
        self.user_id = user_id
        self.forms: dict[str, int] = {}
        """By path, which form of a question the server has understood."""
        self._skew_seconds = 0.0
        self._plain_slash = False
        self._paces: dict[str, Pace] = {}
        """By cluster, for those of which a call was refused as one too many."""

    def seal(self, *, after_refusal: bool = False) -> Seal:
        """What to sign the next call with. Raises ApiError if the keys cannot be read."""
        ask = self._credentials_after_refusal if after_refusal else self._credentials
        try:
            return Seal(ask(), self._skew_seconds, self._plain_slash)
        except ApiError:
            raise
        except ExporterError as error:
            raise ApiError(
                "authentication",
                f"the account's keys cannot be read: {error}",
                retryable=False,
                advice="Check the account's keys, and that the file with the secret is readable.",
            ) from error

    def call(self, target: Target, question: Question[Answer], seal: Seal) -> Answer:
        """One call. Raises ApiError, or Stopped if the program stops."""
        self._keep_apart(target)
        self._gate.admit(target.name)
        signed_at = self._clock.now_at() + seal.skew_seconds
        parameters = _parameters(target, question, seal.credentials.access_key_id, signed_at)
        secret, path = seal.credentials.secret, question.path
        signed = signed_query(
            question.method, path, parameters, secret, plain_slash=seal.plain_slash
        )
        self._telemetry.api_call_sent(self._account)
        started_seconds = self._clock.monotonic_seconds()
        try:
            answer = self._transport.exchange(f"{self._endpoint}{path}?{signed}", question.method)
            self._keep_pace(target, answer.status)
            scrub = _scrub_of(seal.credentials, signed)
            return self._read(answer, question, _server_time_at(answer.date_at, signed_at), scrub)
        except ApiError as error:
            self._telemetry.api_call_failed(self._account, error.reason)
            raise
        finally:
            took_seconds = self._clock.monotonic_seconds() - started_seconds
            self._telemetry.api_call_took(self._account, took_seconds)

    def _read(
        self,
        answer: transport.RawAnswer,
        question: Question[Answer],
        server_time_at: float,
        scrub: Scrub,
    ) -> Answer:
        try:
            if answer.status != _HTTP_OK:
                refused = find_refusal(answer.body, http_status=answer.status, scrub=scrub)
                raise refused or _http_error(answer)
            read = question.decode(answer.body, server_time_at, scrub)
        except RefusedError as error:
            if error.ret_code == refusal.QUOTA_CODE:
                self._gate.over_quota()
            else:
                self._gate.passed()
            if error.ret_code == refusal.CLOCK_CODE:
                raise _clock_error(error, answer.date_at, self._clock.now_at()) from None
            raise
        self._gate.passed()
        return read

    def _keep_pace(self, target: Target, status: int) -> None:
        pace = self._paces.get(target.name)
        if status == refusal.TOO_MANY_STATUS:
            self._paces[target.name] = (pace or Pace()).refused()
        elif pace is not None and status == _HTTP_OK:
            self._paces[target.name] = pace.answered()

    def _keep_apart(self, target: Target) -> None:
        """Sleep until the next call about a cluster may be sent. Raises Stopped if the program stops."""
        pace = self._paces.get(target.name)
        if pace is None:
            return
        now_seconds = self._clock.monotonic_seconds()
        at_seconds = max(now_seconds, pace.next_seconds)
        self._paces[target.name] = pace.sent(at_seconds)
        if at_seconds > now_seconds and self._clock.sleep(at_seconds - now_seconds):
            raise Stopped("the program is stopping")

    def note_names_cut(self, target: Target, names: int) -> None:
        """Count the names of an answer that were too long to become labels."""
        if names:
            self._telemetry.label_values_cut(target.name, names)

    def mends(self, error: ApiError, target: Target, seal: Seal, *, mended_before: bool) -> bool:
        """Whether a call refused with ``error`` is worth one more with another seal, at once."""
        if isinstance(error, _ClockError):
            if error.skew_seconds is None or mended_before:
                self._skew_seconds = 0.0  # the correction is no good: begin again without
                return False
            self._skew_seconds = error.skew_seconds
            return abs(error.skew_seconds - seal.skew_seconds) >= _LEAST_SKEW_SECONDS
        if isinstance(error, RefusedError) and error.ret_code == refusal.KEYS_CODE:
            return not mended_before and self._signs_otherwise(target, seal)
        return False

    def _signs_otherwise(self, target: Target, seal: Seal) -> bool:
        """Whether a call refused for its keys or signature would be signed with others now."""
        renewed = self.seal(after_refusal=True)
        if (
            renewed == seal
            and "/" in target.cluster_id + target.zone + seal.credentials.access_key_id
        ):
            # The documentation and the vendor's client disagree on it; most servers never meet one.
            self._plain_slash = not seal.plain_slash
            return True
        return renewed != seal

    def wait(self, retry: int, error: ApiError) -> None:
        """Sleep before retry number ``retry`` of a call. Raises Stopped if the program stops."""
        seconds = self.policy.wait_seconds(retry, self._random.random())
        if isinstance(error, HttpStatusError):
            seconds = max(seconds, error.retry_after_seconds)
        if self._clock.sleep(seconds):
            raise Stopped("the program is stopping") from error


class Asker:
    """Asks about one target, with few retries. For one thread."""

    def __init__(self, sender: Sender, target: Target) -> None:
        self._sender = sender
        self._target = target
        self._allowance = Allowance.of(sender.policy)

    def begin_sync(self) -> None:
        """Allow the retries of one sync anew."""
        self._allowance = Allowance.of(self._sender.policy)

    def ask(self, question: Question[Answer]) -> Answer:
        """The answer. Raises ApiError, or Stopped if the program stops."""
        retry, mended = 0, False
        while True:
            seal = self._sender.seal()
            try:
                answer = self._sender.call(self._target, question, seal)
            except ApiError as error:
                if self._sender.mends(error, self._target, seal, mended_before=mended):
                    mended = True
                    continue
                if not error.retryable or not self._allowance.left:
                    raise
                self._allowance = self._allowance.spent()
                retry += 1
                self._sender.wait(retry, error)
            else:
                self._allowance = self._allowance.succeeded()
                return answer


def _scrub_of(credentials: Credentials, signed: str) -> Callable[[str], str]:
    """Removes what must not be shown from the server's texts, in case it repeats a request."""

    def scrub(words: str) -> str:
        signature = unquote(unquote(signed.rpartition("=")[2]))
        secrets = (credentials.secret, credentials.access_key_id, signature)
        return Redactor(secrets).clean(words)

    return scrub


def _parameters(
    target: Target, question: Question[Answer], access_key_id: str, signed_at: float
) -> dict[str, str]:
    parameters = {
        "access_key_id": access_key_id,
        "signature_method": "HmacSHA256",
        "signature_version": "1",
        "version": "1",
        "timestamp": datetime.fromtimestamp(signed_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "zone": target.zone,
        **question.parameters,
    }
    # The vendor's own client sends no empty one, and nobody knows how the server signs them.
    return {name: value for name, value in parameters.items() if value}


def _server_time_at(date_at: float | None, signed_at: float) -> float:
    """The API's time: it accepts only requests that are signed within 60 s of it, so a ``Date`` far
    from that is another machine's."""
    if date_at is not None and abs(date_at - signed_at) <= _MOST_SKEW_SECONDS:
        return date_at
    return signed_at


def _http_error(answer: transport.RawAnswer) -> HttpStatusError | RefusedError:
    told = dict(answer.quota_headers).get("retry-after", "")
    seconds = float(told) if told.isdecimal() else 0.0
    return refusal.http_error(answer.status, retry_after_seconds=seconds)


def _clock_error(error: RefusedError, date_at: float | None, now_at: float) -> _ClockError:
    skew_seconds = None if date_at is None else date_at - now_at
    message, advice = str(error), error.advice
    if skew_seconds is not None and abs(skew_seconds) < _LEAST_SKEW_SECONDS:
        message += "; but the answer's Date agrees with this machine's clock"
        advice = "The cloud's own clocks disagree: show this message to its support."
    elif skew_seconds is not None:
        direction = "behind" if skew_seconds > 0 else "ahead of"
        off = f"{abs(skew_seconds):.0f} s {direction} the server's"
        message += f"; this machine's clock is {off}"
        advice = f"{advice} It is {off}."
    told = _ClockError(
        error.ret_code, error.reason, message, retryable=error.retryable, advice=advice
    )
    told.skew_seconds = skew_seconds
    return told
