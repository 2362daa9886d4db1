"""An account's calls written down, on disk and in memory.

One line for each call, appended before it is sent; a line ``pause UNTIL TIMES`` for each change of
the pause. Appending is enough against a killed process: what has been written stays written. Other
processes on the same account append to the same file.
"""

import fcntl
import os
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.errors import StateError
from exporter.model import Pause

LEAST_KEPT_CALLS = 10_000
EARLIEST_AT, LATEST_AT = 1e9, 1e11
"""What else stands in the file is half a line, of a disk that was full or lost its power."""
CLOCK_TOLERANCE_SECONDS = 1.0


class MemorySpendingLog:
    """A log that ends with the process."""

    def __init__(self, most_calls: int = 0) -> None:
        """At least ``most_calls`` are remembered: so many as the account allows in its window."""
        self._kept = max(LEAST_KEPT_CALLS, most_calls)
        self._calls: list[float] = []
        self._pause = Pause()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See ``SpendingLog``."""
        yield

    def calls_since(self, moment_at: float) -> list[float]:
        """See ``SpendingLog``."""
        return self._calls[bisect_left(self._calls, moment_at) :]

    def not_after(self, now_at: float) -> None:
        """See ``SpendingLog``."""
        if self._calls and self._calls[-1] > now_at + CLOCK_TOLERANCE_SECONDS:
            back_seconds = self._calls[-1] - now_at
            self._calls = [at - back_seconds for at in self._calls]

    def add_call(self, at: float) -> None:
        """See ``SpendingLog``."""
        self._calls.append(max(at, self._calls[-1]) if self._calls else at)
        if len(self._calls) > 2 * self._kept:
            del self._calls[: -self._kept]

    def pause(self) -> Pause:
        """See ``SpendingLog``."""
        return self._pause

    def set_pause(self, pause: Pause) -> None:
        """See ``SpendingLog``."""
        self._pause = pause


class FileSpendingLog(MemorySpendingLog):
    """A log that a kill and a restart leave as it is.

    If the file cannot be written, calls are still counted in memory; ``complaint`` then says why.
    """

    def __init__(self, path: Path, most_calls: int = 0) -> None:
        """Open or begin the log. Raises ``StateError``."""
        super().__init__(most_calls)
        self._ragged = False
        """Whether the file ends within a line."""
        self._unwritten = False
        """Whether something could be counted in memory only."""
        self._path = path
        self._read_to = 0
        self._lines = 0
        self.complaint: str | None = None
        try:
            self._lock_descriptor = os.open(
                path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            self._descriptor = self._open()
        except OSError as error:
            raise StateError(f"{path}: cannot be opened: {error.strerror}") from error
        with self.locked():
            pass

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See ``SpendingLog``; reads what others have written meanwhile."""
        fcntl.flock(self._lock_descriptor, fcntl.LOCK_EX)
        try:
            self._read_others()
            yield
            if self._unwritten or self._lines > 2 * self._kept:
                self._rewrite()
        finally:
            fcntl.flock(self._lock_descriptor, fcntl.LOCK_UN)

    def not_after(self, now_at: float) -> None:
        """See ``SpendingLog``."""
        before = self._calls
        super().not_after(now_at)
        if self._calls is not before:
            self._rewrite()

    def add_call(self, at: float) -> None:
        """See ``SpendingLog``."""
        super().add_call(at)
        self._append(f"{self._calls[-1]:.6f}\n")

    def set_pause(self, pause: Pause) -> None:
        """See ``SpendingLog``."""
        super().set_pause(pause)
        self._append(f"pause {pause.until_at:.6f} {pause.times}\n")

    def close(self) -> None:
        """Close the files."""
        os.close(self._descriptor)
        os.close(self._lock_descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _append(self, line: str) -> None:
        data = (b"\n" if self._ragged else b"") + line.encode()
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            self._unwritten = True
            self.complaint = f"{self._path}: cannot be written: {error.strerror}"
            return
        self._read_to += written
        self._ragged = written < len(data)
        self._unwritten = self._unwritten or self._ragged
        self._lines += 1
        self.complaint = None

    def _read_others(self) -> None:
        """Read on from where we are; a file that another process has written anew, from the start."""
        try:
            if os.stat(self._path).st_ino != os.fstat(self._descriptor).st_ino:
                os.close(self._descriptor)
                self._descriptor = self._open()
                self._read_to, self._lines, self._calls = 0, 0, []
            data = b""
            while more := os.pread(self._descriptor, 1 << 20, self._read_to + len(data)):
                data += more
        except OSError as error:
            self.complaint = f"{self._path}: cannot be read: {error.strerror}"
            return
        self._read_to += len(data)
        if data:
            self._ragged = not data.endswith(b"\n")
        for line in data.splitlines():
            self._lines += 1
            self._take_line(line.split())

    def _take_line(self, words: list[bytes]) -> None:
        try:
            if len(words) == 3 and words[0] == b"pause":
                until_at, times = float(words[1]), int(words[2])
                if until_at == 0.0 or EARLIEST_AT <= until_at <= LATEST_AT:
                    self._pause = Pause(until_at, times)
            elif len(words) == 1 and EARLIEST_AT <= (at := float(words[0])) <= LATEST_AT:
                super().add_call(at)
        except (ValueError, OverflowError):
            return

    def _rewrite(self) -> None:
        lines = [f"{at:.6f}\n" for at in self._calls[-self._kept :]]
        lines.append(f"pause {self._pause.until_at:.6f} {self._pause.times}\n")
        new = self._path.with_suffix(".new")
        try:
            new.write_text("".join(lines))
            os.replace(new, self._path)
            os.close(self._descriptor)
            self._descriptor = self._open()
        except OSError as error:
            self.complaint = f"{self._path}: cannot be written: {error.strerror}"
            return
        self._read_to = os.fstat(self._descriptor).st_size
        self._lines = len(lines)
        self._ragged = self._unwritten = False
        self.complaint = None
