"""How all pages look: one style sheet for the landing page and the manual, and its policy. Data."""

import base64
import hashlib

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    '<rect width="16" height="16" rx="3" fill="#14713a"/>'
    '<path d="M3 4h10v2H3zM3 7h7v2H3zM3 10h4v2H3z" fill="#fff"/></svg>'
)
"""Three bars of a queue; what browsers show in their tabs, and ask for in vain otherwise."""
ICON_PATH = "/favicon.svg"
IMAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""Of a picture, should somebody open it by itself."""

BASE_STYLE = """
:root{color-scheme:light dark;--ink:#1c2330;--soft:#5b6472;--page:#f6f7f9;--card:#fff;
--line:#d9dde3;--good:#14713a;--bad:#b3261e;--warn:#8a5300}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#a0a9b6;--page:#14171c;--card:#1d2128;
--line:#353b45;--good:#5ccf8b;--bad:#ff8a80;--warn:#f2b457}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:75rem;background:var(--page);color:var(--ink);
font:1rem/1.45 system-ui,sans-serif}
header{display:flex;flex-wrap:wrap;gap:.25rem 1rem;align-items:baseline}
header h1,header .name{font-size:1.1rem;font-weight:700;margin:0}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin-left:auto}a{color:inherit}
table{border-collapse:collapse;background:var(--card);border:1px solid var(--line)}
th,td{padding:.45rem .7rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
thead th{color:var(--soft);font-weight:500;font-size:.85rem;border-bottom:1px solid var(--line)}
.soft{color:var(--soft);font-weight:400}.small{font-size:.85rem}
"""


def head(home: str) -> str:
    """What all pages have in their head. ``home`` leads from there to the landing page: links are
    relative, since whoever serves us to the world may do so below any path."""
    return (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" type="image/svg+xml" href="{home}{ICON_PATH.lstrip("/")}">'
    )


def policy(style: str) -> str:
    """The ``Content-Security-Policy`` of a page with this style sheet, our own pictures, and nothing
    else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    directives = (
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src 'self'",
    )
    return "; ".join(directives)
