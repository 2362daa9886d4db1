"""The landing page: plain for now."""

from collections.abc import Callable
from html import escape

from exporter.snapshot import SnapshotBoard


def plain_page(board: SnapshotBoard, telemetry_path: str) -> Callable[[str], tuple[str, str]]:
    """A page with a row for each cluster."""

    def page(_: str) -> tuple[str, str]:
        rows = "".join(
            f"<tr><td>{escape(name)}<td>{'up' if state.up else 'down'}"
            for name, state in board.current().items()
        )
        html = (
            "<!doctype html><meta charset=utf-8><title>ehpc-exporter</title>"
            f"<h1>ehpc-exporter</h1><a href='{escape(telemetry_path)}'>metrics</a><table>{rows}</table>"
        )
        return html, "default-src 'none'"

    return page
