"""Whatever a path leads to, reading it ends."""

import os
import threading
from pathlib import Path

import pytest

from exporter import files
from exporter.files import read_file, require_regular
from tests.waiting import PATIENCE_SECONDS


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 200_000)
    assert read_file(path, 1 << 20) == b"x" * 200_000
    assert len(read_file(path, 1000)) == 1001
    assert require_regular(path).st_size == 200_000


def test_a_pipe_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE_MILLISECONDS", 1000 * PATIENCE_SECONDS)
    reading, writing = os.pipe()
    writer = threading.Thread(target=_write_slowly, args=(writing,), name="writer")
    writer.start()
    try:
        assert read_file(Path(f"/dev/fd/{reading}"), 1 << 20) == b"x" * 200_000
    finally:
        writer.join()
        os.close(reading)


def _write_slowly(descriptor: int) -> None:
    with open(descriptor, "wb", buffering=0) as file:
        file.writelines(b"x" * 10_000 for _ in range(20))


@pytest.mark.parametrize("somebody", [False, True])
def test_a_pipe_into_which_nobody_writes_is_not_waited_for(
    somebody: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE_MILLISECONDS", 1)
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR) if somebody else None
    with pytest.raises(TimeoutError, match="nothing comes out of it"):
        read_file(tmp_path / "pipe", 1000)
    if writer is not None:
        os.close(writer)


def test_a_device_without_an_end_is_read_so_far_only() -> None:
    assert read_file(Path("/dev/zero"), 100_000) == b"\0" * 100_001


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/"])
def test_what_is_no_regular_file(path: str) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        require_regular(Path(path))
