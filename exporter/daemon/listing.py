"""Querying cluster/list for the change detectors: one thread for each account."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping

from exporter.api.budget import Demand
from exporter.api.lists import Listings
from exporter.clock import Loop, SystemClock
from exporter.daemon.accounts import Account, ListTrouble
from exporter.errors import ApiError, BudgetExhausted, Stopped

_LOG = logging.getLogger(__name__)

LONGEST_SECONDS = 600.0
"""While it fails, or spares no sync, a list is asked for later and later, up to this."""
PATIENCE = 3
"""How often it may be of no use before that."""
WORTH_CLUSTERS = 2
"""With fewer of them a list costs what it spares."""


class Lister(Loop):
    """Asks for the lists of one account's zones, again and again."""

    def __init__(self, account: Account, clock: SystemClock | None = None) -> None:
        name = account.config.name
        what = f"the lister of clusters of account {name}"
        super().__init__(f"list {name}", what, clock or SystemClock())
        self.account = account
        self._zones: dict[str, Listings] = {}
        self._wanted: Mapping[str, float] = {}
        self._trouble = ListTrouble(
            account.config.name,
            self._clock,
            _LOG.info,
            "the list of clusters cannot be queried: each cluster is synced at every interval",
        )

    # -- from other threads ------------------------------------------------------------------

    def listings(self, zone: str) -> Listings:
        """For the pollers of a zone's clusters."""
        return self._zones.setdefault(zone, Listings(self.account.lists, zone, LONGEST_SECONDS))

    def watch(self, intervals: Mapping[str, Iterable[float]]) -> None:
        """By zone, the intervals of the clusters that have a detector."""
        found = {zone: tuple(each) for zone, each in intervals.items()}
        wanted = {zone: min(each) for zone, each in found.items() if len(each) >= WORTH_CLUSTERS}
        for zone, seconds in wanted.items():
            self.listings(zone).interval_seconds = seconds
        self._want(wanted)
        self._clock.rouse()

    def stop(self) -> None:
        """Let it end, and plan no more calls."""
        super().stop()
        self._want({})

    def _want(self, wanted: Mapping[str, float]) -> None:
        self._wanted = wanted
        for zone, watch in list(self._zones.items()):
            watch.polled = zone in wanted
            if not watch.polled:
                self.account.budget.declare(_name(zone), None)

    # -- the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                wait_seconds = self.turn()
            except Stopped:
                return
            except Exception:
                _LOG.exception("listing clusters ended in an error of this program")
                wait_seconds = LONGEST_SECONDS
            if self._clock.doze(wait_seconds):
                return

    def turn(self) -> float:
        """Ask for the lists that are due; returns in how many seconds the next one is. Raises Stopped
        if the program stops."""
        clock, wanted = self._clock, self._wanted
        for zone in wanted:
            watch = self._zones[zone]
            if clock.monotonic_seconds() >= watch.due_seconds:
                self._list(zone, watch)
        now_seconds = clock.monotonic_seconds()
        dues = (self._zones[zone].due_seconds - now_seconds for zone in wanted)
        return max(0.0, min(dues, default=LONGEST_SECONDS))

    def _list(self, zone: str, watch: Listings) -> None:
        clock, budget = self._clock, self.account.budget
        started_seconds, not_before_seconds = clock.monotonic_seconds(), 0.0
        watch.unused, watch.used = 0 if watch.used else watch.unused + 1, False
        pages = 1
        try:
            told = self.account.lists.get(zone)
        except ApiError as error:
            watch.unused = max(watch.unused, PATIENCE) + 1
            if isinstance(error, BudgetExhausted):
                not_before_seconds = error.until_at - clock.now_at()
            self._trouble.met(zone, error)
        else:
            self._trouble.over()
            pages = 1 + len(told.clusters) // 100
        doublings = min(max(0, watch.unused - PATIENCE), 20)
        longest_seconds = max(LONGEST_SECONDS, watch.interval_seconds)
        wanted_seconds = min(longest_seconds, watch.interval_seconds * 2.0**doublings)
        name = _name(zone)
        budget.declare(name, Demand(wanted_seconds, pages, worth=math.inf))
        wait_seconds = max(
            wanted_seconds, not_before_seconds, budget.effective_interval_seconds(name)
        )
        if not watch.polled:  # it has been given up meanwhile
            budget.declare(name, None)
        watch.due_seconds = started_seconds + wait_seconds


class Listers:
    """The listers of all accounts."""

    def __init__(self, on_told: Callable[[str, str], None]) -> None:
        """``on_told`` is called with an account and a zone whose list has come or could not be queried."""
        self._on_told = on_told
        self._running: dict[str, Lister] = {}

    def of(self, account: Account) -> Lister:
        """The lister of an account, which is running."""
        name = account.config.name
        known = self._running.get(name)
        if known is not None and known.account is account:
            return known
        if known is not None:
            known.stop()
        lister = Lister(account)
        account.lists.on_told = lambda zone: self._on_told(name, zone)
        lister.start()
        self._running = {**self._running, name: lister}
        return lister

    def keep(self, names: Iterable[str]) -> None:
        """Stop the listers of all other accounts."""
        kept = set(names)
        for name, lister in self._running.items():
            if name not in kept:
                lister.stop()
        self._running = {name: each for name, each in self._running.items() if name in kept}

    def health(self) -> str | None:
        """Why it is not healthy; None if it is."""
        return next((why for each in self._running.values() if (why := each.health())), None)

    def stop(self) -> list[Lister]:
        """Tell all to stop; gives them, to be joined."""
        for each in self._running.values():
            each.stop()
        return list(self._running.values())


def _name(zone: str) -> str:
    """Its name in the budget, beside those of the clusters."""
    return f"cluster/list {zone}"
