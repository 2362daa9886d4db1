"""The groups of users; the file is read again when it changes."""

import logging
import threading
from pathlib import Path

from exporter.config import read_groups
from exporter.errors import ConfigError
from exporter.labels import Groups

_LOG = logging.getLogger(__name__)

_Version = tuple[int, int, int] | None


class GroupsFile:
    """The file that the configuration names, and the groups that it last held. For all threads."""

    def __init__(self, path: Path, groups: Groups) -> None:
        """``groups`` are those that have just been read from it."""
        self.path = path
        self._lock = threading.Lock()
        self._groups = groups
        self._seen: _Version = None
        self._good = True

    @property
    def good(self) -> bool:
        """Whether the groups in use are those of the file."""
        return self._good

    def current(self) -> Groups:
        """The groups that the file has now; the previous ones if it cannot be read or is wrong."""
        with self._lock:
            version = _version(self.path)
            if version != self._seen or version is None:
                self._seen = version
                self._read()
            return self._groups

    def _read(self) -> None:
        try:
            groups = read_groups(self.path)
        except ConfigError as error:
            if self._good or self._seen is not None:
                _LOG.error(
                    "the groups of users were not read; the old ones stay in use",
                    extra={"cause": str(error)},
                )
            self._good = False
            return
        if groups != self._groups:
            _LOG.info("the groups of users were read again")
        self._groups, self._good = groups, True


def _version(path: Path) -> _Version:
    """What changes when the file does; None while it is not there."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_ino, state.st_size
