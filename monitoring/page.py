"""The first page: one cluster, or all of them, worst first. Rendered on the server, complete without JavaScript."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from monitoring.api import worst_first
from monitoring.auth import BACKEND, caller, seen
from monitoring.view import STATES
from orchestrator.core.access import AccessRole

# Shape and colour, so that neither alone carries the state: disc, triangle, square, ring.
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
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def yes_no(value: bool | None) -> str:
    """A fact, or that it is not known."""
    return "-" if value is None else "yes" if value else "no"


def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("templates", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    env.filters.update(age=age, yes_no=yes_no)
    env.globals.update(icons=ICONS)
    return env


ENVIRONMENT = _environment()


def routes() -> list[web.RouteDef]:
    """The paths of the page."""
    return [web.get("/", front), web.get("/c/{cluster}", one_cluster)]


async def front(request: web.Request) -> web.Response:
    """The only cluster, or all that the caller may see."""
    who = caller(request, AccessRole.VIEWER)
    backend = request.app[BACKEND]
    views = worst_first([backend.view(one) for name, one in backend.snapshots().items() if who.reaches(name)])
    return _page(views[0] if len(views) == 1 else None, views, who.name, backend.instance)


async def one_cluster(request: web.Request) -> web.Response:
    """One cluster."""
    snapshot, who = seen(request, AccessRole.VIEWER)
    backend = request.app[BACKEND]
    shown = backend.view(snapshot)
    return _page(shown, [shown], who.name, backend.instance)


def _page(shown: dict[str, Any] | None, views: list[dict[str, Any]], who: str, instance: str) -> web.Response:
    worst = views[0]["state"] if views else STATES[-2]
    text = ENVIRONMENT.get_template("page.html.j2").render(
        view=shown, views=views, worst=worst, who=who, instance=instance
    )
    return web.Response(text=text, content_type="text/html")
