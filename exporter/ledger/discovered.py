"""The record of discovered clusters, which a restart needs while they cannot be listed; and removing
their ledgers, some time after they were last used."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from exporter.files import read_file
from exporter.ledger.state_files import make_directory, replace_private
from exporter.model import ListedCluster

_LOG = logging.getLogger(__name__)

Discovered = Mapping[str, Mapping[str, tuple[ListedCluster, ...]]]
"""By account and zone, as last listed."""

KEPT_SECONDS = 7 * 86400.0
"""A ledger that is no longer used is kept for this long after its last use."""
_NAME = "found.json"
_LARGEST_BYTES = 1 << 24
_Record = tuple[str, str, str, str]
"""Id, name, status and kind."""
_FOUND = msgspec.json.Decoder(dict[str, dict[str, list[_Record]]])


def read_discovered(directory: Path | None) -> Discovered:
    """The recorded clusters; none if the record cannot be read."""
    if directory is None:
        return {}
    try:
        kept = _FOUND.decode(read_file(directory / _NAME, _LARGEST_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        cause = {"reason": type(error).__name__}
        _LOG.info("the record of discovered clusters cannot be read", extra=cause)
        return {}
    return {
        account: {
            zone: tuple(ListedCluster(i, name, status, {}, kind) for i, name, status, kind in each)
            for zone, each in zones.items()
        }
        for account, zones in kept.items()
    }


def write_discovered(directory: Path | None, found: Discovered) -> None:
    """Record the discovered clusters. If this fails, the next start has to discover them again."""
    if directory is None:
        return
    kept = {
        account: {
            zone: [(one.cluster_id, one.name, one.status, one.kind) for one in each]
            for zone, each in zones.items()
        }
        for account, zones in found.items()
    }
    try:
        make_directory(directory)
        replace_private(directory / _NAME, msgspec.json.encode(kept))
    except OSError as error:
        cause = {"reason": str(error.strerror)}
        _LOG.info("the discovered clusters cannot be recorded", extra=cause)


def purge(directory: Path | None, keep: Collection[Path], now_at: float) -> list[str]:
    """Remove the ledgers that have not been used for ``KEPT_SECONDS`` and are not among ``keep``. Returns
    the names of their files."""
    removed = []
    for ledger in directory.glob("*.ledger") if directory is not None else ():
        if ledger in keep:
            continue
        files = list(ledger.parent.glob(f"{ledger.name}*"))
        try:
            if max(file.stat().st_mtime for file in files) > now_at - KEPT_SECONDS:
                continue
            for file in files:
                file.unlink()
        except (OSError, ValueError):  # tried again the next time
            continue
        removed.append(ledger.name)
    return removed
