"""The frame of all pages: a template and its style sheet from ``templates``, and the content
security policy. Templates escape whatever is filled in."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    '<rect width="16" height="16" rx="3" fill="#14713a"/>'
    '<path d="M3 4h10v2H3zM3 7h7v2H3zM3 10h4v2H3z" fill="#fff"/></svg>'
)
"""Three bars of a queue; what browsers show in their tabs, and ask for in vain otherwise."""
ICON_PATH = "/favicon.svg"
IMAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""Of a picture, should somebody open it by itself."""

_DIRECTORY = Path(__file__).with_name("templates")


class Look:
    """The look of one kind of page: ``NAME.html`` and ``NAME.css``."""

    def __init__(self, name: str, **filters: Callable[..., str]) -> None:
        """``filters`` are what the template calls so."""
        sheets = (_DIRECTORY / f"{each}.css" for each in ("base", name))
        self._name = name
        self._style = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
        self._filters: Mapping[str, Callable[..., str]] = filters
        self._template: Template | None = None
        self.policy = _policy(self._style)
        """The ``Content-Security-Policy`` of such a page."""

    def __call__(self, **values: object) -> str:
        """The HTML with these values, escaped."""
        # Only who looks at a page pays for the library: the daemon runs for months without.
        from markupsafe import Markup  # noqa: PLC0415

        if self._template is None:
            self._template = self._load()
        return self._template.render(style=Markup(self._style), **values)  # noqa: S704 - our own

    def _load(self) -> "Template":
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

        environment = Environment(
            loader=FileSystemLoader(_DIRECTORY),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= self._filters
        return environment.get_template(f"{self._name}.html")


def _policy(style: str) -> str:
    """This style sheet, our own pictures, a form that comes back to us, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    directives = (
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src 'self'",
    )
    return "; ".join(directives)
