"""Files of the state directory: their permissions, how they are written so that a power cut does no harm,
and how one that cannot be used is set aside."""

import os
from contextlib import suppress
from pathlib import Path

LEDGER_SUFFIXES = ("", "-wal", "-shm", "-journal", ".published")
"""The files of a ledger: itself, SQLite's logs, and the counters as last published."""
_MODE = 0o600


def make_directory(path: Path) -> None:
    """Create a directory that the group may read, unless the umask forbids it. Raises OSError."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
        path.chmod(path.stat().st_mode | 0o700)


def open_private(path: Path, flags: int) -> int:
    """Open a file so that no other user may read it, whatever the umask. Raises OSError."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, _MODE)
    with suppress(OSError):  # it belongs to another user, who lets us write to it
        os.fchmod(descriptor, _MODE)
    return descriptor


def write_private(path: Path, data: bytes, flags: int) -> None:
    """Write to a file and wait until it is on the disk. Raises OSError."""
    with open(open_private(path, os.O_WRONLY | flags), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_private(path: Path, data: bytes) -> None:
    """Replace a file. After a kill or a power cut, there is either the old one or the new one. Raises
    OSError."""
    new = path.with_name(path.name + ".new")
    write_private(new, data, os.O_CREAT | os.O_TRUNC)
    os.replace(new, path)
    with suppress(OSError):  # not every file system supports this
        directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def make_private(path: Path) -> None:
    """Forbid other users to read a file, if it is there."""
    with suppress(OSError):
        if not path.is_symlink() and path.is_file():
            path.chmod(_MODE)


def set_aside(path: Path, now_at: float) -> Path:
    """Rename a file that cannot be used, so that nothing is lost. Returns its new name."""
    aside = path.with_name(f"{path.name}.set-aside-{int(now_at)}")
    while aside.exists():
        aside = aside.with_name(aside.name + "-again")
    for suffix in LEDGER_SUFFIXES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
