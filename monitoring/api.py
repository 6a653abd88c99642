"""API v1: the read side from the last snapshots. Changing calls are in `operations`, paths in `calls`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from monitoring.auth import BACKEND, caller, seen
from monitoring.envelope import envelope
from monitoring.incident_view import incident_view
from monitoring.problems import Problem
from monitoring.queries import EventsQuery, query_of
from monitoring.readiness_view import readiness_view
from monitoring.view import STATES
from monitoring.wording import incident_text
from orchestrator.core.access import AccessRole
from orchestrator.core.history import Incident
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import plain

SEVERITIES = ("info", "warning", "critical")


async def describe(request: web.Request, response: web.StreamResponse) -> None:
    """On every response: who answers, how old the data is, which epoch it is of."""
    backend = request.app[BACKEND]
    response.headers["X-Kembar-Instance"] = backend.instance
    response.headers.setdefault("Cache-Control", "no-store")
    snapshot = backend.snapshots().get(request.match_info.get("cluster", ""))
    if snapshot is not None:
        response.headers["X-Kembar-Age"] = f"{snapshot.aged(backend.now()):.3f}"
        if snapshot.cluster is not None:
            response.headers["X-Kembar-Epoch"] = str(snapshot.cluster.epoch)


async def healthz(request: web.Request) -> web.Response:
    """The process is alive."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """The data is fresh; needs no leadership."""
    ready = request.app[BACKEND].ready()
    return web.json_response({"status": "ready" if ready else "stale"}, status=200 if ready else 503)


async def clusters(request: web.Request) -> web.Response:
    """Every cluster that the caller may see, worst first."""
    backend = request.app[BACKEND]
    who = caller(request, AccessRole.VIEWER)
    views = [backend.view(one) for name, one in backend.snapshots().items() if who.reaches(name)]
    keys = ("cluster", "state", "mark", "verdict", "primary", "mode", "epoch", "data")
    rows = [{key: one[key] for key in keys} for one in worst_first(views)]
    return web.json_response({"clusters": rows})


async def one_cluster(request: web.Request) -> web.Response:
    """The full view; its ETag is "<epoch>.<seq>"."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    response = web.json_response(request.app[BACKEND].view(snapshot))
    if snapshot.cluster is not None:
        response.etag = f"{snapshot.cluster.epoch}.{snapshot.cluster.seq}"
    return response


async def readiness(request: web.Request) -> web.Response:
    """What a failover would cost now, and the share of the last day in which it would have been safe."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    backend = request.app[BACKEND]
    return web.json_response(readiness_view(snapshot, backend.elapsed_s(snapshot)))


async def incidents(request: web.Request) -> web.Response:
    """The history, newest first."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    rows = [plain(one) | {"text": incident_text(one)} for one in snapshot.incidents]
    return web.json_response({"incidents": rows})


async def one_incident(request: web.Request) -> web.Response:
    """One failover or switchover with its timeline and events, what was lost, and what is left to do."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    found = incident_of(snapshot, request.match_info["id"])
    return web.json_response(incident_view(snapshot, found))


def incident_of(snapshot: Snapshot, wanted: str) -> Incident:
    """The incident of that id. Raises Problem."""
    found = next((one for one in snapshot.incidents if str(one.id) == wanted), None)
    if found is None:
        raise Problem("not-found", f"{snapshot.name} has no incident {wanted:.80}", "see kembar history")
    return found


async def events(request: web.Request) -> web.Response:
    """Event envelopes, oldest first: `after` a number, at most `limit`, of at least `severity`."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    query = query_of(request, EventsQuery)
    wanted = SEVERITIES[SEVERITIES.index(query.severity) :]
    after = -1 if query.after is None else query.after
    found = [(n, event) for n, event in sorted(snapshot.events.items()) if n > after and event.severity in wanted]
    # With `after` a reader goes on where it was; without it the latest are meant.
    shown = found[-query.limit :] if query.after is None else found[: query.limit]
    return web.json_response({"events": [envelope(snapshot, n, event) for n, event in shown]})


def worst_first(views: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Views in the order in which they need a person."""
    return sorted(views, key=lambda one: (STATES.index(str(one["state"])), str(one["cluster"])))
