"""``collect``: which clusters of an account are still asked after one has failed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from exporter.config import StateConfig
from exporter.daemon import once
from exporter.daemon.looking import Seen
from exporter.errors import RefusedError, StateError, SyncError, TransportError

from .patients import config_of

SILENT = TransportError("timeout", "no answer", retryable=True, advice="")
REFUSED = TransportError("connection", "refused", retryable=True, advice="")
MISSING = RefusedError(2100, "not_found", "no such resource", retryable=False, advice="")
SEEN = Seen("delta", None, 0)


def asked_of(
    outcomes: Mapping[str, Seen | Exception], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], Sequence[str]]:
    """The clusters that are asked, in order, and those that are said not to have been."""
    asked = []

    class Look:
        def __init__(self, calls: Any, **_: Any) -> None:
            self._name = calls.name

        def active(self) -> Seen:
            asked.append(self._name)
            outcome = outcomes[self._name]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    monkeypatch.setattr(once, "Look", Look)
    monkeypatch.setattr(once, "cluster_calls", lambda _, cluster: cluster)
    config = replace(config_of(list(outcomes)), state=StateConfig(None))
    told = once.collect(config, list(outcomes), full=False, progressing=lambda *_: None)
    return asked, [name for name, state in told.states.items() if not state.tried]


@pytest.mark.parametrize(
    ("outcomes", "left_out"),
    [
        pytest.param([SILENT, SEEN, SILENT, SILENT, SEEN], "", id="one cluster's own silence"),
        pytest.param([SILENT, SILENT, SEEN, SEEN], "cd", id="the account's"),
        pytest.param([StateError("full"), SILENT, SILENT, SEEN], "d", id="the disk is not the cloud"),
        pytest.param([SyncError("moving", "x"), SILENT, SILENT, SEEN], "", id="answers, if no count"),
        pytest.param([SILENT, MISSING, SILENT, SEEN], "", id="a refusal is an answer"),
        pytest.param([REFUSED, SEEN], "b", id="one is enough where no one can be reached"),
    ],
)  # fmt: skip
def test_who_is_not_asked(
    outcomes: list[Seen | Exception], left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name = dict(zip("abcde", outcomes, strict=False))
    asked, not_tried = asked_of(by_name, monkeypatch)
    assert asked == [name for name in by_name if name not in left_out]
    assert not_tried == list(left_out)
