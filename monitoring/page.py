"""The first page: one cluster, or all of them, worst first. Rendered on the server, complete without JavaScript."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from monitoring.actions import actions
from monitoring.api import SEVERITIES, worst_first
from monitoring.auth import BACKEND, Caller, caller, form_token, seen
from monitoring.backend import Backend
from monitoring.blocks import own, whole
from monitoring.forms import FORMS, direct
from monitoring.rendering import html
from monitoring.sampling import SAMPLER
from monitoring.wording import request_text
from orchestrator.core.access import AccessRole
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import plain


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
    shown = backend.view(snapshot)
    mine = own(shown, offered(backend, snapshot, who), asked(snapshot, request.query.get("operation", "")))
    severity = request.query.get("severity", "")
    return html(
        "page.html.j2",
        view=shown,
        blocks=whole(shown, request.app[SAMPLER].charts(backend, snapshot), mine),
        severity=severity if severity in SEVERITIES else SEVERITIES[0],
        who=who.name,
        csrf=form_token(request),
    )


def offered(backend: Backend, snapshot: Snapshot, who: Caller) -> list[dict[str, Any]]:
    """Each action with its name for people; pause and maintenance too, or their ends."""
    if snapshot.cluster is None:
        return []
    standby = snapshot.other(snapshot.cluster.primary)
    pause = "resume" if snapshot.paused else "pause"
    maintenance = "maintenance_off" if standby in snapshot.policy.maintenance else "maintenance_on"
    found = [
        *actions(backend, snapshot, who),
        direct(backend, snapshot, who, pause, ""),
        direct(backend, snapshot, who, maintenance, standby) | {"query": f"?to={standby}"},
    ]
    return [
        {"query": "", **one, "title": FORMS[one["kind"]].title, "off": "; ".join(one["disabled_reasons"])}
        for one in found
    ]


def asked(snapshot: Snapshot, operation: str) -> dict[str, Any] | None:
    """What became of an operation that a form of ours began; None if it is none, or no longer kept."""
    found = snapshot.requests.get(operation)
    return None if found is None else {**plain(found), "text": request_text(found)}
