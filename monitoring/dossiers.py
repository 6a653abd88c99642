"""Pages of what is over or waits: one incident, to be printed or exported, and one return with its decisions."""

from __future__ import annotations

from aiohttp import web
from markupsafe import Markup

from monitoring.api import incident_of
from monitoring.auth import BACKEND, seen
from monitoring.incident_view import incident_view
from monitoring.outage import outage
from monitoring.postmortem import postmortem
from monitoring.problems import Problem
from monitoring.rendering import html
from monitoring.returns import return_whole
from monitoring.sampling import SAMPLER
from orchestrator.core.access import AccessRole


def routes() -> list[web.RouteDef]:
    """Beside the page of their cluster."""
    return [
        web.get("/c/{cluster}/incidents/{id}", incident),
        web.get("/c/{cluster}/reconcile/{id}", one_return),
    ]


async def incident(request: web.Request) -> web.Response:
    """One failover or switchover; `?format=md` gives the report that a person goes on writing."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    found = incident_of(snapshot, request.match_info["id"])
    shown = incident_view(snapshot, found)
    wanted = request.query.get("format", "html")
    if wanted not in ("html", "md"):
        raise Problem("invalid-request", f"format={wanted:.80}: html or md is expected")
    if wanted == "md":
        name = f'attachment; filename="{found.kind}-{found.id}.md"'
        return web.Response(
            text=postmortem(shown), content_type="text/markdown", charset="utf-8", headers={"Content-Disposition": name}
        )
    charts = request.app[SAMPLER].charts_of(request.app[BACKEND], snapshot, found)
    lanes = outage(found.origin, found.target, found.total_ms) if found.outcome == "ok" else ""
    return html("incident.html.j2", one=shown, charts=Markup(charts), lanes=Markup(lanes))  # noqa: S704 - they escape


async def one_return(request: web.Request) -> web.Response:
    """One return: what it had alone, how far it is, and each transaction that waits for a person."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    shown = await return_whole(request.app[BACKEND], snapshot, request.match_info["id"], every_row=False)
    return html("return.html.j2", one=shown, view={"cluster": snapshot.name})
