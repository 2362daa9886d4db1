"""The Grafana dashboards, as code.

    python -m deploy.grafana.generator          writes ../dashboards/*.json and ../dashboards-zh/*.json
    python -m deploy.grafana.generator --check  says which of them are not what this code makes

looks       colours, thresholds, units: what a status looks like is decided here, once
promql      selectors, and the turns of phrase that many queries share
panels      numbers, lines, stacks and tables, all in one style
demand      what two of the dashboards show: how much runs, and who waits
frame       what every dashboard has: variables, links, time, a grid that fills itself
overview, cluster, usage, exporter    one dashboard each
chinese, texts_zh   the same in Chinese; whoever writes a text here writes it there, too

The files are for Grafana 11 and later; the types are those of grafana-foundation-sdk, whose version
is pinned because the files must come out the same everywhere.
"""

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.generator import chinese, cluster, exporter, overview, usage

DIRECTORY = Path(__file__).resolve().parents[1] / "dashboards"
CHINESE = DIRECTORY.with_name("dashboards-zh")


def generate() -> dict[Path, str]:
    """The text of each dashboard's file, by the file's path."""
    boards = content()
    return {
        directory / name: json.dumps(board, indent=2, ensure_ascii=False) + "\n"
        for directory, each in ((DIRECTORY, boards), (CHINESE, chinese.translated(boards)))
        for name, board in each.items()
    }


def content() -> dict[str, dict[str, Any]]:
    """What is in each dashboard's file, in English, by the file's name."""
    boards = [module.dashboard() for module in (overview, cluster, usage, exporter)]
    return {f"{board.uid}.json": as_written(board) for board in boards}


def as_written(board: Dashboard) -> dict[str, Any]:
    """The file's content: panels numbered, and without the defaults that the kit adds for older
    versions of Grafana."""
    for place, panel in enumerate(board.panels or [], 1):
        panel.id_val = place
    written: dict[str, Any] = json.loads(json.dumps(board, cls=JSONEncoder))
    for variable in written["templating"]["list"]:
        for key in ("auto", "auto_min", "auto_count"):
            variable.pop(key, None)
    for panel in written["panels"]:
        if panel["type"] == "table":
            panel["options"].pop("footer", None)
    return written
