"""Templates to HTML: how every page is made. Owns icons, and the names under which files are served."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

STATIC = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"  # under a name that changes with the content
CLIPPED = 200  # characters of a value of a row
TYPES = {".css": "text/css", ".js": "text/javascript"}
# Shape and colour, so that neither alone carries the state: disc, triangle, arrow, square, bars, ring.
_SHAPES = {
    "healthy": '<circle cx="8" cy="8" r="7" fill="#1a7f37"/>',
    "degraded": '<path d="M8 1 15 15H1z" fill="#bf8700"/>',
    "failing_over": '<path d="M2 2 14 8 2 14z" fill="#0969da"/>',
    "no_primary": '<rect x="1" y="1" width="14" height="14" fill="#cf222e"/>',
    "split_suspected": '<path d="M1 1h6v14H1zM9 1h6v14H9z" fill="#cf222e"/>',
    "blind": '<circle cx="8" cy="8" r="6" fill="none" stroke="#6e7781" stroke-width="3"/>',
    "unknown": '<circle cx="8" cy="8" r="6" fill="none" stroke="#6e7781" stroke-width="3"/>',
}
ICONS = {
    state: "data:image/svg+xml,"
    + quote(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">{shape}</svg>', safe="/:=")
    for state, shape in _SHAPES.items()
}


def age(seconds: float | None) -> str:
    """A duration as people read it; under 10 s with a tenth."""
    if seconds is None:
        return "never"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} d"


def yes_no(value: bool | None) -> str:
    """A fact, or that it is not known."""
    return "-" if value is None else "yes" if value else "no"


def ms(value: float) -> str:
    """Milliseconds as people read them; under 10 with a tenth."""
    return f"{value:.1f}" if abs(value) < 10 else f"{value:.0f}"


def mib(value: float) -> str:
    """MiB as people read them."""
    return f"{value / 1024:.1f} GiB" if value >= 1024 else f"{value:.0f} MiB"


def clipped(text: object) -> str:
    """So much of a value as a page has room for."""
    shown = str(text)
    return shown if len(shown) <= CLIPPED else f"{shown[:CLIPPED]}\u2026 ({len(shown)} characters)"


def about(kept: Mapping[str, Any]) -> str:
    """The query that names a kept transaction, as it is seen now, to the form that decides it."""
    return urlencode({"returning": kept["id"], "gtid": kept["gtid"], "seen": kept["seen"]})


def _served(folder: Path) -> Mapping[str, Path]:
    """Each file under the name that holds the hash of its content."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in TYPES]
    return {f"{one.stem}.{hashlib.sha256(one.read_bytes()).hexdigest()[:12]}{one.suffix}": one for one in files}


SERVED = _served(STATIC)


def static(name: str) -> str:
    """The path under which a file of ours is served."""
    return f"/static/{next(served for served, path in SERVED.items() if path.name == name)}"


async def file(request: web.Request) -> web.Response:
    """One of them, to be kept by the browser; under any other name there is none."""
    path = SERVED.get(request.match_info["name"])
    if path is None:
        raise web.HTTPNotFound
    headers = {"Cache-Control": FOREVER}
    return web.Response(body=path.read_bytes(), content_type=TYPES[path.suffix], charset="utf-8", headers=headers)


def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("templates", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(age=age, yes_no=yes_no, ms=ms, mib=mib, clipped=clipped, about=about)
    env.globals.update(icons=ICONS, static=static)
    return env


ENVIRONMENT = _environment()


def html(template: str, *, status: int = 200, **values: object) -> web.Response:
    """A page."""
    text = ENVIRONMENT.get_template(template).render(**values)
    return web.Response(text=text, content_type="text/html", status=status)
