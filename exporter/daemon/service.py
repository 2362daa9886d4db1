"""``serve``: the running program, its signals, its web side, its reloads."""

import ctypes
import gc
import logging
import os
import platform
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from exporter import __version__
from exporter.collector import BuildInfo, ReloadStatus
from exporter.config import Config, ServeOptions, config_warnings, load_config, select
from exporter.daemon.accounts import learn_secrets
from exporter.daemon.sightings import of_shard, survey, together, with_found
from exporter.daemon.signals import WOKEN, Wait, heeded
from exporter.daemon.summary import Summary
from exporter.daemon.watch import Watch
from exporter.errors import ExporterError, StateError
from exporter.ledger.directory import StateDirectory
from exporter.redaction import Redactor
from exporter.web.app import WebApp, WebOptions, WebParts
from exporter.web.exposition import ExporterFacts, Exposition, ProcessFamilies
from exporter.web.manual import Manual
from exporter.web.page import LandingPage, PageParts
from exporter.web.server import WebServer
from exporter.web.summary import FoundClusters, FoundZone
from exporter.web.tls import RenewingContext
from exporter.web.web_config import WebConfig, load_web_config, refuse_weaker

_LOG = logging.getLogger(__name__)
_MOST_NAMED = 20
"""Clusters in one line of the log."""
_M_ARENA_MAX = -8
"""As ``malloc.h`` has it."""
_OBJECTS_BETWEEN_COLLECTIONS = 10_000
"""By default they are 700, or 2,000 from Python 3.13 on; taking in one page of jobs makes about 700."""
_REVISION = Path(__file__).parents[1] / "revision"


def serve(config_path: Path, options: ServeOptions, redactor: Redactor) -> int:
    """Run until told to stop; gives the exit code. Raises ``ExporterError`` if it cannot start."""
    config = load_config(config_path, os.environ)
    learn_secrets(redactor, config)
    for warning in config_warnings(config):
        _LOG.warning("%s", warning)
    if options.shard.count > 1:
        _LOG.info(
            "polling one shard of the configuration",
            extra={
                "shard": str(options.shard),
                "clusters": len(select(config, options.shard).clusters),
            },
        )
    _share_arenas()
    collect_garbage_rarely()
    state = StateDirectory(config.state.path)
    state.acquire()
    try:
        return Daemon(config_path, config, options, Watch(state, redactor), redactor).run()
    finally:
        state.release()


def _share_arenas() -> None:
    """Let all threads take memory from two of glibc's arenas. There would be eight for each processor,
    and what hundreds of pollers leave free in one is of no use in another."""
    with suppress(AttributeError):  # another libc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def collect_garbage_rarely() -> None:
    """Let Python search less often for objects that refer to each other in cycles: there are few. It
    does not search what is there now, above all the modules, again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])


def revision() -> str:
    """The commit that the package was built of; nobody knows it where it runs from a checkout."""
    try:
        return _REVISION.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


class Daemon:
    """The running program: the pollers, the web side, and what the operator asks of them."""

    def __init__(
        self,
        config_path: Path,
        config: Config,
        options: ServeOptions,
        watch: Watch,
        redactor: Redactor,
    ) -> None:
        self._config_path = config_path
        self._config = config
        self._shard = options.shard
        self._watch = watch
        self._redactor = redactor
        self._reloading = threading.Lock()
        self._reload_status = ReloadStatus(successful=True, success_at=watch.clock.now_at())
        facts = ExporterFacts(
            build=BuildInfo(__version__, revision(), platform.python_version()),
            reload=lambda: replace(self._reload_status, groups_good=watch.groups_good()),
            quotas=watch.quotas,
        )
        exposition = Exposition(watch.board, watch.telemetry, watch.clock, facts, ProcessFamilies())
        watch.on_publish = exposition.refresh
        self._refresh_exposition = exposition.refresh
        self._web_config_file = options.web_config_file
        parts = self._page_parts(facts, options)
        self._app = build_app(exposition, LandingPage(parts), watch, self.reload, options)
        self._protection = _load_protection(options.web_config_file)
        self._app.protect(self._protection.users, self._protection.headers)
        self._tls = RenewingContext(self._protection.tls) if self._protection.tls else None
        self._web = WebServer(self._app, options.listen_addresses, tls=self._tls)

    def run(self) -> int:
        """Serve until a signal ends it."""
        with heeded((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)) as wait:
            return self._run(wait)

    def _run(self, wait: Wait) -> int:
        bound = self._web.bind()
        self._web.start()
        self._watch.on_found = wait.wake
        try:
            self._watch.apply(self._watched(self._config))
            for host, port in bound:
                _LOG.info(
                    "listening",
                    extra={
                        "address": host,
                        "port": port,
                        "tls": self._tls is not None,
                        "users": len(self._protection.users),
                    },
                )
            self._wait(wait)
        finally:
            self._watch.stop()
            self._web.stop()
        _LOG.info("stopped")
        return 0

    def reload(self) -> str | None:
        """Use the file's new content, if it is valid. Gives what is wrong with it, or None."""
        with self._reloading:
            try:
                config = load_config(self._config_path, os.environ)
                if config.state != self._config.state:
                    raise StateError("state.path cannot change while the program runs; restart it")
                protection = _load_protection(self._web_config_file)
                refuse_weaker(self._protection, protection)
                learn_secrets(self._redactor, config)
                self._watch.apply(self._watched(config))
            except ExporterError as error:
                self._reload_status = ReloadStatus(
                    successful=False, success_at=self._reload_status.success_at
                )
                _LOG.error(
                    "the configuration was not reloaded; the old one stays in use",
                    extra={"cause": str(error)},
                )
                return str(error)
            self._config = config
            self._protect(protection)
            self._reload_status = ReloadStatus(
                successful=True, success_at=self._watch.clock.now_at()
            )
            self._refresh_exposition()
            _LOG.info("the configuration was reloaded")
            return None

    def _page_parts(self, facts: ExporterFacts, options: ServeOptions) -> PageParts:
        return PageParts(
            board=self._watch.board,
            clock=self._watch.clock,
            version=__version__,
            telemetry_path=options.telemetry_path,
            quotas=facts.quotas,
            reload=facts.reload,
            grafana=lambda: self._config.grafana,
            discovered=self._discovered,
        )

    def _discovered(self) -> list[FoundZone]:
        """What discovery has found, for the page."""
        config, found, failures = self._config, self._watch.found(), self._watch.list_failures()
        sightings = of_shard(survey(config, found), self._shard)
        zones = together((*sightings, *self._watch.gone(config, self._shard)))
        return [
            FoundZone(
                account.name,
                zone,
                [FoundClusters(*each) for each in zones.get((account.name, zone), {}).items()],
                failures.get((account.name, zone), ""),
                listed=zone in found.get(account.name, {}),
            )
            for account in config.accounts
            if account.discovery is not None
            for zone in account.discovery.zones
        ]

    def _watched(self, config: Config) -> Config:
        """With the clusters that have been found, those of this shard. Raises ``ConfigError``."""
        return select(with_found(config, self._watch.found()), self._shard)

    def _follow_found(self) -> None:
        """Watch the clusters that there are now."""
        with self._reloading:
            before = set(self._watch.board.current())
            self._watch.write_discovered(with_found(self._config, self._watch.found()))
            try:
                self._watch.apply(self._watched(self._config))
            except ExporterError as error:
                _LOG.error("the discovered clusters cannot be watched", extra={"cause": str(error)})
                return
            now = set(self._watch.board.current())
        fields = {"clusters": len(now), "come": _some(now - before), "gone": _some(before - now)}
        if now != before:
            _LOG.info("the watched clusters have changed", extra=fields)

    def _protect(self, protection: WebConfig) -> None:
        self._protection = protection
        self._app.protect(protection.users, protection.headers)
        if self._tls is not None and protection.tls is not None:
            self._tls.follow(protection.tls)

    def _wait(self, wait: Wait) -> None:
        clock = self._watch.clock
        summary = Summary(self._watch.standings, clock.monotonic_seconds())
        while True:
            come = wait(summary.wait_seconds(clock.monotonic_seconds()))
            for fields in summary.lines(clock.monotonic_seconds()):
                _LOG.info("the last hour", extra=fields)
                with self._reloading:
                    self._watch.write_discovered(with_found(self._config, self._watch.found()))
            if come - {signal.SIGHUP, WOKEN}:
                return
            if WOKEN in come:
                self._follow_found()
            if signal.SIGHUP in come:
                self.reload()


def _some(names: set[str]) -> str:
    """Names for a line of the log, but not too many."""
    shown = sorted(names)[:_MOST_NAMED]
    return " ".join(shown) + (
        f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    )


def _load_protection(path: Path | None) -> WebConfig:
    return load_web_config(path) if path else WebConfig()


def build_app(
    exposition: Exposition,
    page: LandingPage,
    watch: Watch,
    reload: Callable[[], str | None],
    options: ServeOptions,
) -> WebApp:
    """The routes, made of the parts of the program."""
    parts = WebParts(exposition, watch.health, watch.ready, reload, page, Manual(__version__).leaf)
    return WebApp(
        parts,
        WebOptions(
            telemetry_path=options.telemetry_path,
            enable_lifecycle=options.enable_lifecycle,
            route_prefix=options.route_prefix,
            external_url=options.external_url,
        ),
    )
