"""Outdated answers: those of a read replica that lags, or of a cache of pages."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from exporter.simulator.joblist import JobList
from exporter.simulator.listed import Change

_MOST_PAGES = 1000
"""Beyond so many, those that are too old are dropped."""


class LaggingCopy:
    """A copy of a list that takes over each change some seconds late."""

    def __init__(self, jobs: JobList, now_at: float) -> None:
        """It begins as the list is now, and is late from then on."""
        self._log: list[Change] = []
        jobs.log = self._log
        self._copy = jobs.copy()
        self._late: deque[tuple[float, Change]] = deque()
        self._looked_at = now_at

    def look(self, now_at: float) -> None:
        """Find out when the latest changes were made.

        The list's times need not be those of the requests (a world may run faster, a deletion tells
        none): they are believed within what has passed since the last look.
        """
        at = self._looked_at
        for change in self._log:
            at = min(max(at, at if change.at is None else change.at), now_at)
            self._late.append((at, change))
        self._log.clear()
        self._looked_at = now_at

    def as_of(self, seconds_ago: float, now_at: float) -> JobList:
        """The list as it was then."""
        self.look(now_at)
        while self._late and self._late[0][0] <= now_at - seconds_ago:
            self._copy.follow(self._late.popleft()[1])
        return self._copy


class PageCache:
    """Answers that are given again to the same question."""

    def __init__(self) -> None:
        self._pages: dict[frozenset[tuple[str, str]], tuple[float, dict[str, Any]]] = {}

    def get(
        self, params: Mapping[str, str], seconds: float, now_at: float
    ) -> dict[str, Any] | None:
        """The answer to that question, if one was given less than so many seconds ago."""
        at, answer = self._pages.get(frozenset(params.items()), (float("-inf"), None))
        return answer if 0 <= now_at - at < seconds else None

    def put(
        self, params: Mapping[str, str], seconds: float, now_at: float, answer: dict[str, Any]
    ) -> None:
        """Keep an answer."""
        if len(self._pages) >= _MOST_PAGES:
            kept = {key: page for key, page in self._pages.items() if now_at - page[0] < seconds}
            self._pages = kept
        self._pages[frozenset(params.items())] = (now_at, answer)
