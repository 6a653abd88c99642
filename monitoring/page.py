"""The first page: one cluster, or all of them, worst first. Rendered on the server, complete without JavaScript."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from monitoring.actions import actions, held_back
from monitoring.api import worst_first
from monitoring.auth import BACKEND, Caller, caller, form_token, seen
from monitoring.backend import Backend
from monitoring.forms import FORMS
from monitoring.rendering import html
from orchestrator.core.access import AccessRole
from orchestrator.core.snapshot import Snapshot


def routes() -> list[web.RouteDef]:
    """The paths of the page."""
    return [web.get("/", front), web.get("/c/{cluster}", one_cluster)]


async def front(request: web.Request) -> web.Response:
    """The only cluster, or all that the caller may see."""
    who = caller(request, AccessRole.VIEWER)
    backend = request.app[BACKEND]
    seen_here = [one for name, one in backend.snapshots().items() if who.reaches(name)]
    if len(seen_here) == 1:
        return _cluster(request, seen_here[0], who)
    views = worst_first([backend.view(one) for one in seen_here])
    worst = views[0]["state"] if views else "unknown"
    return html(
        "clusters.html.j2",
        views=views,
        worst=worst,
        who=who.name,
        instance=backend.instance,
        csrf=form_token(request),
    )


async def one_cluster(request: web.Request) -> web.Response:
    """One cluster."""
    return _cluster(request, *seen(request, AccessRole.VIEWER))


def _cluster(request: web.Request, snapshot: Snapshot, who: Caller) -> web.Response:
    backend = request.app[BACKEND]
    return html(
        "page.html.j2",
        view=backend.view(snapshot),
        actions=offered(backend, snapshot, who),
        who=who.name,
        csrf=form_token(request),
    )


def offered(backend: Backend, snapshot: Snapshot, who: Caller) -> list[dict[str, Any]]:
    """Each action with its name for people, and pause or resume."""
    if snapshot.cluster is None:
        return []
    found = [{**one, "title": FORMS[one["kind"]].title} for one in actions(backend, snapshot, who)]
    reasons = held_back(backend, snapshot, who, AccessRole.OPERATOR)
    kind = "resume" if snapshot.paused else "pause"
    return [*found, {"kind": kind, "title": FORMS[kind].title, "enabled": not reasons, "disabled_reasons": reasons}]
