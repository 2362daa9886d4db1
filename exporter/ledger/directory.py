"""The state directory: who may use it, which file belongs to which cluster, and what happens to files
that cannot be used."""

import fcntl
import hashlib
import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from exporter.clock import Clock, Instant
from exporter.errors import StateError, StateInUse, Stopped
from exporter.ledger.published import NOTHING, Published, read_published
from exporter.ledger.spending import FileSpendingLog, MemorySpendingLog
from exporter.ledger.state_files import make_directory, make_private, open_private, set_aside
from exporter.ledger.store import (
    CacheLimit,
    Ledger,
    LedgerUnreadable,
    LedgerUnwritable,
    open_ledger,
    read_ledger,
)
from exporter.model import ClusterIdentity

_LOG = logging.getLogger(__name__)
_LOCK = "lock"


class StateDirectory:
    """The directory of ledgers and records of calls. Without a path, they are kept in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._opening = threading.Lock()
        self._lock: int | None = None
        self._cache_limit = CacheLimit()
        self._damaged: dict[Path, str] = {}
        """Ledgers that turned out to be damaged while in use, and why. They are set aside when opened
        again."""

    def acquire(self) -> None:
        """Lock the directory for this process. Raises ``StateError`` if it cannot be used, ``StateInUse``
        if another process has it."""
        if self.path is None:
            return
        try:
            make_directory(self.path)
            self._lock = open_private(self.path / _LOCK, os.O_RDWR | os.O_CREAT)
            for pattern in ("*.ledger*", "*.calls*"):  # an earlier version let others read them
                for file in self.path.glob(pattern):
                    make_private(file)
        except OSError as error:
            no_directory = isinstance(error, FileExistsError | NotADirectoryError)
            reason = (
                "it leads to something that is no directory" if no_directory else error.strerror
            )
            # A file of another user, such as root, who has tried a command.
            theirs = isinstance(error, PermissionError) and Path(error.filename or "").is_file()
            raise StateError(
                f"state.path: {error.filename if theirs else self.path}: cannot be used: {reason};"
                " let the exporter's user write there, or set state.path"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            raise StateInUse(
                f"state.path: {self.path}: in use by another ehpc-exporter;"
                " stop that one, or give this one a directory of its own"
            ) from error

    def release(self) -> None:
        """Unlock the directory for other processes."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def spending(self, account: str, now: Instant, most_calls: int) -> MemorySpendingLog:
        """The log of an account's calls. It remembers at least ``most_calls``, the number that is
        allowed. Several processes may share it. Raises ``StateError``."""
        if self.path is None:
            return MemorySpendingLog(most_calls)
        try:
            make_directory(self.path)
        except OSError as error:
            raise StateError(f"{self.path}: cannot be created: {error.strerror}") from error
        return FileSpendingLog(self.path / f"{_file_name(account)}.calls", now, most_calls)

    def ledger(self, identity: ClusterIdentity, endpoint: str, clock: Clock) -> Ledger:
        """The ledger of one cluster. A file that is damaged is set aside, and a new one begun. If no
        file can be written, the ledger is kept in memory. Raises ``LedgerUnwritable`` if there is a file
        that cannot be read now, such as one of another user; or ``Stopped``."""
        with self._turn(clock):
            return self._ledger(identity, endpoint, clock.now_at())

    def moved(
        self, ledger: Ledger, identity: ClusterIdentity, endpoint: str, clock: Clock
    ) -> Ledger:
        """Copy a ledger from its file to memory, or from memory to its file, and open the copy. Raises
        ``StateError`` or ``Stopped``."""
        with self._turn(clock):
            if ledger.in_memory:
                return self._put_back(ledger, identity, endpoint)
            return ledger.copied_to(None)

    def _ledger(self, identity: ClusterIdentity, endpoint: str, now_at: float) -> Ledger:
        whose = f"{endpoint} {identity.zone} {identity.cluster_id}"
        if self.path is None:
            return open_ledger(None, whose, cache_limit=self._cache_limit)
        path = self.ledger_path(identity, endpoint)
        published = self._published(identity, path)
        try:
            ledger = self._open(path, whose, published)
        except LedgerUnreadable as error:
            try:
                aside = set_aside(path, now_at)
            except OSError as failed:
                told = LedgerUnwritable(f"{error}; it cannot be set aside: {failed.strerror}")
                return self._in_memory(identity, whose, told)
            _LOG.warning(
                "the ledger cannot be used and is set aside; it is rebuilt from the cloud",
                extra={
                    "cluster": identity.name,
                    "file": str(aside),
                    "reason": str(error),
                    "advice": "Nothing needs to be done; its counters begin anew. If this happens"
                    " again, check the disk of state.path.",
                },
            )
        except LedgerUnwritable as error:
            return self._in_memory(identity, whose, error, path, published)
        else:
            return self._watched(ledger, identity, path)
        try:
            return self._watched(
                open_ledger(path, whose, cache_limit=self._cache_limit), identity, path
            )
        except StateError as error:
            return self._in_memory(identity, whose, error)

    def _put_back(self, ledger: Ledger, identity: ClusterIdentity, endpoint: str) -> Ledger:
        path = self.ledger_path(identity, endpoint)
        if self._lock is not None and not self._holds_lock(path.parent):  # it has been removed
            self.release()
            self.acquire()
        try:
            copy = ledger.copied_to(path)
        except LedgerUnreadable:
            try:  # it could not be set aside before, as the disk could not be written
                set_aside(path, ledger.progress.synced_at or 0.0)
            except OSError as error:
                raise LedgerUnwritable(f"it cannot be set aside: {error.strerror}") from error
            copy = ledger.copied_to(path)
        return self._watched(copy, identity, path)

    def ledger_path(self, identity: ClusterIdentity, endpoint: str) -> Path:
        """The file of a cluster's ledger. It does not depend on the cluster's name in the configuration."""
        assert self.path is not None  # noqa: S101 - called only if there is a directory
        digest = hashlib.blake2s(
            f"{endpoint}\n{identity.zone}\n{identity.cluster_id}".encode(), digest_size=4
        ).hexdigest()
        return self.path / f"{_file_name(identity.cluster_id)}-{digest}.ledger"

    @contextmanager
    def _turn(self, clock: Clock) -> Iterator[None]:
        """Let only one thread open a ledger, unless its ``clock`` is stopped: threads that read rows at once take turns
        at each row, and a hundred of them need twenty times as long as one after the other."""
        with self._opening:
            if clock.sleep(0.0):
                raise Stopped("nothing is to be opened any more")
            yield

    def _holds_lock(self, directory: Path) -> bool:
        assert self._lock is not None  # noqa: S101 - called only if there is a lock
        try:
            return os.path.samestat(os.fstat(self._lock), os.stat(directory / _LOCK))
        except OSError:
            return False

    def _open(self, path: Path, whose: str, published: Published) -> Ledger:
        if path in self._damaged:
            raise LedgerUnreadable(self._damaged.pop(path))
        if published is not NOTHING and not path.exists():
            raise LedgerUnreadable("its file is gone")
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would block
            raise LedgerUnreadable("it is not a regular file")
        return open_ledger(path, whose, published, self._cache_limit)

    def _watched(self, ledger: Ledger, identity: ClusterIdentity, path: Path) -> Ledger:
        """Watch a ledger: if it turns out to be damaged while in use, it is not opened again."""
        ledger.on_damage = partial(self._damaged.__setitem__, path)
        if ledger.counters.behind:
            _LOG.warning(
                "the ledger is older than what was last published of it: what happened since is"
                " counted again, and no counter is shown lower than it was",
                extra={"cluster": identity.name, "file": str(path)},
            )
        return ledger

    @staticmethod
    def _published(identity: ClusterIdentity, path: Path) -> Published:
        try:
            return read_published(path)
        except LedgerUnreadable as error:
            _LOG.warning(
                "the counters as last published are not known; those of the ledger are used",
                extra={"cluster": identity.name, "reason": str(error)},
            )
            return NOTHING

    def _in_memory(
        self,
        identity: ClusterIdentity,
        whose: str,
        error: StateError,
        path: Path | None = None,
        published: Published = NOTHING,
    ) -> Ledger:
        ledger = None
        if path is not None and path.exists():
            try:
                ledger = read_ledger(path, whose, published, self._cache_limit)
            except LedgerUnreadable as damaged:
                _LOG.warning(
                    "the ledger on disk cannot be read either, and is begun anew",
                    extra={"cluster": identity.name, "reason": str(damaged)},
                )
            except LedgerUnwritable:
                if path.is_file():  # it may be whole
                    raise LedgerUnwritable(f"{path.name}: {error}") from error
        _LOG.error(
            "the ledger is kept in memory until the disk can be written again",
            extra={
                "cluster": identity.name,
                "reason": str(error),
                "advice": LedgerUnwritable.advice,
            },
        )
        return ledger or open_ledger(None, whose, cache_limit=self._cache_limit)


def _file_name(text: str) -> str:
    """A file name for any text."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".")[:64]
    if plain == text:
        return plain
    return f"{plain}-{hashlib.blake2s(text.encode(), digest_size=4).hexdigest()}"
