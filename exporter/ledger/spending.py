"""The record of an account's calls, on disk and in memory.

In memory, the moment of a call is by the monotonic clock, so no call is forgotten when somebody sets the
machine's clock. The monotonic clock starts again when the machine does, so moments on disk are by the
machine's clock. The first line, ``clock BOOT AHEAD``, says during which run of the machine they were
written, and how far the machine's clock was ahead of the monotonic one. So a process that starts later
knows the moments as exactly as the one that wrote them. Only after a restart of the machine does it have
to trust the machine's clock. When that clock is set, the whole file is written anew.

There is one line for each call, appended before the call is sent, and a line ``pause UNTIL TIMES`` for each
change of the pause. What has been appended is not lost if the process is killed. Other processes on the
same account append to the same file.
"""

import errno
import fcntl
import logging
import os
import re
import stat
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.clock import Instant
from exporter.errors import LedgerUnwritable, StateError
from exporter.ledger.state_files import open_private, replace_private, set_aside
from exporter.model import Pause

_LOG = logging.getLogger(__name__)

LEAST_KEPT_CALLS = 10_000
CLOCK_TOLERANCE_SECONDS = 1.0
"""If the machine's clock moves by less than this against the monotonic one, it was not set."""

UNKNOWN_BOOT = "-"
_NO_FILE = (errno.EISDIR, errno.EINVAL, errno.ELOOP)
"""Something else stands in the place of the file."""
_APPENDING = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
_AT = rb"-?\d{1,12}\.\d{6}"
_CALL = re.compile(_AT)
_PAUSE = re.compile(rb"pause (" + _AT + rb") (\d{1,12})")
_CLOCK = re.compile(rb"clock ([\w-]+) (" + _AT + rb")")
_HALF = re.compile(rb"-?\d{0,12}\.?\d{0,5}|p|pa|pau|paus|pause( -?\d{0,12}\.?\d{0,6}( \d{0,12})?)?")
"""What a full disk or a power cut may leave of a line that was being appended."""


def boot_id() -> str:
    """A text that stays the same until the machine is restarted."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() or UNKNOWN_BOOT
    except OSError:
        return UNKNOWN_BOOT


class MemorySpendingLog:
    """A log in memory, which ends with the process."""

    def __init__(self, most_calls: int = 0) -> None:
        """At least ``most_calls`` calls are remembered: as many as the account may make in its window."""
        self._kept = max(LEAST_KEPT_CALLS, most_calls)
        self._calls: list[float] = []
        self._pause = Pause()

    @property
    def on_disk(self) -> bool | None:
        """See ``SpendingLog``."""
        return None

    @contextmanager
    def locked(self, now: Instant) -> Iterator[None]:
        """See ``SpendingLog``."""
        del now
        yield

    def calls_since(self, seconds: float) -> list[float]:
        """See ``SpendingLog``."""
        return self._calls[bisect_left(self._calls, seconds) :]

    def add_call(self, seconds: float) -> None:
        """See ``SpendingLog``."""
        self._calls.append(max(seconds, self._calls[-1]) if self._calls else seconds)
        if len(self._calls) > 2 * self._kept:
            del self._calls[: -self._kept]

    def pause(self) -> Pause:
        """See ``SpendingLog``."""
        return self._pause

    def set_pause(self, pause: Pause) -> None:
        """See ``SpendingLog``."""
        self._pause = pause


class FileSpendingLog(MemorySpendingLog):
    """A log on disk; it survives a kill and a restart.

    If the file cannot be written, or no longer be read, calls are still counted in memory. A damaged file is
    set aside. It may have had as many calls as are allowed, up to the moment when it was last written.
    """

    def __init__(self, path: Path, now: Instant, most_calls: int) -> None:
        """Open or create the log. Raises ``StateError`` if it cannot be opened."""
        super().__init__(most_calls)
        self._most_calls = most_calls
        self._path = path
        self._boot = boot_id()
        self._written_since, self._ahead_seconds = UNKNOWN_BOOT, 0.0
        """BOOT and AHEAD of the file."""
        self._descriptor: int | None = None
        self._read_to = 0
        self._lines = 0
        self._ragged = False
        """Whether the file ends with an incomplete line."""
        self._unwritten = False
        """Whether the file has to be written anew."""
        self._complaint: str | None = None
        try:
            if path.is_file():  # what cannot be read now is not damaged
                self._use(os.open(path, _APPENDING))
            self._lock_descriptor = open_private(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        except OSError as error:
            self._use(None)
            raise StateError(
                f"{error.filename}: cannot be opened: {error.strerror};"
                " let the exporter's user read and write it"
            ) from error
        with self.locked(now):
            pass

    @property
    def on_disk(self) -> bool | None:
        """See ``SpendingLog``."""
        return self._complaint is None

    @contextmanager
    def locked(self, now: Instant) -> Iterator[None]:
        """See ``SpendingLog``. Reads what others have written meanwhile."""
        fcntl.flock(self._lock_descriptor, fcntl.LOCK_EX)
        try:
            self._read_others(now)
            if not self._is_by_clock(now):
                self._unwritten = True
            yield
            if self._unwritten or self._lines > 2 * self._kept:
                self._rewrite(now)
        finally:
            fcntl.flock(self._lock_descriptor, fcntl.LOCK_UN)

    def add_call(self, seconds: float) -> None:
        """See ``SpendingLog``."""
        super().add_call(seconds)
        self._append(self._call_line(self._calls[-1]))

    def set_pause(self, pause: Pause) -> None:
        """See ``SpendingLog``."""
        super().set_pause(pause)
        self._append(self._pause_line(pause))

    def close(self) -> None:
        """Close the files."""
        self._use(None)
        os.close(self._lock_descriptor)

    # -- the two clocks --------------------------------------------------------------------------

    def _is_by_clock(self, now: Instant) -> bool:
        """Whether the moments in the file fit the machine's clock as it is now."""
        return abs(self._ahead_seconds - (now.at - now.seconds)) <= CLOCK_TOLERANCE_SECONDS

    def _seconds_of(self, at: float, now: Instant) -> float:
        """The moment of a line of the file, by the monotonic clock."""
        if self._written_since == self._boot != UNKNOWN_BOOT or self._is_by_clock(now):
            return at - self._ahead_seconds
        return now.seconds + at - now.at

    def _call_line(self, seconds: float) -> str:
        return f"{seconds + self._ahead_seconds:.6f}\n"

    def _pause_line(self, pause: Pause) -> str:
        return f"pause {pause.until_seconds + self._ahead_seconds:.6f} {pause.times}\n"

    # -- writing ---------------------------------------------------------------------------------

    def _append(self, line: str) -> None:
        if self._descriptor is None or self._unwritten:
            self._unwritten = True  # the file is written anew when it is unlocked
            return
        data = (b"\n" if self._ragged else b"") + line.encode()
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            self._unwritten = True
            self._complain(error)
            return
        self._read_to += written
        self._ragged = self._unwritten = written < len(data)
        self._lines += 1

    def _rewrite(self, now: Instant) -> None:
        """Write the whole file anew, by the machine's current clock."""
        self._written_since, self._ahead_seconds = self._boot, round(now.at - now.seconds, 6)
        lines = [
            f"clock {self._written_since} {self._ahead_seconds:.6f}\n",
            *map(self._call_line, self._calls[-self._kept :]),
            self._pause_line(self._pause),
        ]
        try:
            replace_private(self._path, "".join(lines).encode())
            self._use(os.open(self._path, _APPENDING))
        except OSError as error:
            self._unwritten = True
            self._complain(error)
            return
        self._read_to = sum(map(len, lines))
        self._lines = len(lines)
        self._ragged = self._unwritten = False
        if self._complaint is not None:
            self._complaint = None
            _LOG.info("calls are written down again", extra={"file": str(self._path)})

    def _complain(self, error: OSError) -> None:
        if self._complaint is None:
            _LOG.error(
                "calls cannot be written down and are counted in memory until they can be",
                extra={
                    "file": str(self._path),
                    "reason": str(error.strerror),
                    "advice": LedgerUnwritable.advice,
                },
            )
        self._complaint = str(error.strerror)

    def _use(self, descriptor: int | None) -> None:
        before, self._descriptor = self._descriptor, descriptor
        if before is not None:
            os.close(before)

    # -- reading ---------------------------------------------------------------------------------

    def _read_others(self, now: Instant) -> None:
        """Read what was added, or everything if another process has written the file anew."""
        known = self._calls
        try:
            data = self._unread()
        except FileNotFoundError:
            self._unwritten = True  # it does not exist yet, or somebody has removed it
            return
        except OSError as error:
            self._unwritten = True
            self._calls = known  # what it told before is not lost
            if error.errno in _NO_FILE and not known:
                self._set_aside(now, str(error.strerror))
            return
        begins = self._read_to == 0
        self._read_to += len(data)
        if data:
            self._ragged = not data.endswith(b"\n")
        lines = [line for line in data.split(b"\n") if line]
        self._lines += len(lines)
        if (begins and not lines) or not all(self._take_line(line, now) for line in lines):
            self._set_aside(now, "it is empty" if begins and not lines else "it is damaged")

    def _unread(self) -> bytes:
        status = os.stat(self._path)
        # A pipe would block, a device may never end.
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if self._descriptor is None or status.st_ino != os.fstat(self._descriptor).st_ino:
            self._use(os.open(self._path, _APPENDING))
            self._read_to, self._lines, self._calls = 0, 0, []
        elif status.st_size < self._read_to:
            raise FileNotFoundError  # somebody has emptied it
        assert self._descriptor is not None  # noqa: S101 - it is open
        data = b""
        while more := os.pread(self._descriptor, 1 << 20, self._read_to + len(data)):
            data += more
        return data

    def _take_line(self, line: bytes, now: Instant) -> bool:
        """Take in one line. Returns False if it is not valid."""
        if _CALL.fullmatch(line):
            super().add_call(min(self._seconds_of(float(line), now), now.seconds))
        elif match := _PAUSE.fullmatch(line):
            self._pause = Pause(self._seconds_of(float(match[1]), now), int(match[2]))
        elif match := _CLOCK.fullmatch(line):
            self._written_since, self._ahead_seconds = match[1].decode(), float(match[2])
        elif _HALF.fullmatch(line):
            super().add_call(now.seconds)  # a call at an unknown moment
        else:
            return False
        return True

    def _set_aside(self, now: Instant, why: str) -> None:
        """Set the file aside. Its calls are lost: there may have been as many as are allowed, up to the
        moment when it was last written."""
        self._use(None)
        self._unwritten = True
        written_at = now.at
        try:
            written_at = min(now.at, os.stat(self._path).st_mtime)
            aside = set_aside(self._path, now.at)
        except OSError as error:
            self._complain(error)
        else:
            _LOG.error(
                "the record of calls cannot be used and is set aside; the share is taken to have"
                " been used up when it was last written",
                extra={"file": str(aside), "reason": why},
            )
        for _ in range(self._most_calls):
            super().add_call(now.seconds - (now.at - written_at))
