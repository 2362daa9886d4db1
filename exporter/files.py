"""Reading files that an operator names; never hangs, whatever kind of file it is.

A path may lead to a pipe into which nobody writes, or to a device without an end; a program that waits
for such a thing while it reloads serves nobody any more.
"""

import errno
import os
import select
import stat
from pathlib import Path

from exporter.errors import ConfigError, ConfigProblem

PATIENCE_MILLISECONDS = 5000
"""For the next piece of what comes through a pipe."""
_PIECE_BYTES = 1 << 16


def read_file(path: Path, most_bytes: int) -> bytes:
    """The content, or a little more than ``most_bytes`` of it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        waiting = select.poll()
        waiting.register(file, select.POLLIN)
        data = b""
        while len(data) <= most_bytes:
            if not waiting.poll(PATIENCE_MILLISECONDS):
                raise TimeoutError(errno.ETIMEDOUT, "nothing comes out of it")
            piece = file.read(min(_PIECE_BYTES, most_bytes + 1 - len(data)))
            if not piece:
                break
            data += piece
        return data


def read_config_text(path: Path, most_bytes: int) -> str:
    """The content of a configuration file, or a little more than ``most_bytes`` of it. Raises
    ``ConfigError`` if it cannot be read, or is not UTF-8."""
    try:
        return read_file(path, most_bytes).decode("utf-8-sig")
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise ConfigError([ConfigProblem("", message)]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([ConfigProblem("", f"{path} is not UTF-8 text")]) from error


def require_regular(path: Path) -> os.stat_result:
    """The state of a file that others are to read. Raises OSError if it is none, or not there."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return status
