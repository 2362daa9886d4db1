"""What a package says of itself beyond pyproject.toml; run by the build (hatchling).

The commit it is made of: of a checkout git tells it, of an exported tree EHPC_REVISION, and a source
distribution carries it on. And the README as a package index shows it: there is nothing beside it
there, so what it links to is looked for where the project is, if pyproject.toml tells that address
(``Source`` in ``[project.urls]``), and is else left out.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

REVISION = "exporter/revision"
IMAGE_OR_LINK = re.compile(r"(!?)\[([^]]*)\]\((?!\w+:|#)([^)\s]+)\)")


class Revision(BuildHookInterface):  # type: ignore[type-arg]
    """Writes down which commit it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the file into the package, if it is not in the tree already."""
        found = revision_of(Path(self.root))
        if found and version != "editable":  # a checkout that one works in moves on
            with tempfile.NamedTemporaryFile("w", delete=False) as file:
                file.write(f"{found}\n")
            Path(file.name).chmod(0o644)
            self._written = Path(file.name)
            build_data["force_include"][file.name] = REVISION

    def finalize(self, *_: object) -> None:
        """Take away what was only for the build."""
        if hasattr(self, "_written"):
            self._written.unlink(missing_ok=True)


class IndexReadme(MetadataHookInterface):
    """The description on an index."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set it."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source", "")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_index(text, source)}


def revision_of(root: Path) -> str:
    """The commit of a tree; empty if nobody knows, or if the tree says it itself."""
    if (root / REVISION).exists():
        return ""
    if told := os.environ.get("EHPC_REVISION", ""):
        return told
    if not (root / ".git").exists():
        return ""
    asked = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def for_index(text: str, source: str) -> str:
    """The README with whole addresses, or, where there is no ``source``, without pictures."""

    def whole(match: re.Match[str]) -> str:
        image, label, path = match.groups()
        if source:
            kind = "raw" if image else "blob"
            return f"{image}[{label}]({source.rstrip('/')}/{kind}/HEAD/{path})"
        return "" if image else label

    return IMAGE_OR_LINK.sub(whole, text)
