"""What becomes of a file that cannot be used."""

from pathlib import Path


def set_aside(path: Path, now_at: float) -> Path:
    """Rename a file that cannot be used, so that nothing is lost, and give its new name."""
    aside = path.with_name(f"{path.name}.set-aside-{int(now_at)}")
    while aside.exists():
        aside = aside.with_name(aside.name + "-again")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
