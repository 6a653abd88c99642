"""Notes each action and refusal: one middleware for every path, so that no handler can forget it. Reads it back too."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from monitoring.auth import BACKEND, SAFE, TOKEN, origin_of, presented, seen
from monitoring.backend import utc
from monitoring.limits import Limit
from monitoring.problems import NAMES, Handler, Problem
from monitoring.queries import LimitQuery, query_of
from orchestrator.core.access import AccessRole
from orchestrator.core.audit import TEXT_MAX, Entry
from orchestrator.core.errors import KembarError, UnknownOutcome
from orchestrator.core.wire import plain

DENIALS = ("unauthenticated", "forbidden")


@dataclass(slots=True)
class Note:
    """What a handler knows better than the path does."""

    action: str
    reason: str = ""
    operation: str = ""
    clusters: tuple[str, ...] = ()  # empty: that of the path, or all
    actor: str = ""
    result: str = ""  # of a refusal that is no problem document, but a page
    kept: bool = True  # False: it only asked
    accepted: bool = False  # of a form, whose answer only leads on


NOTE = web.RequestKey("note", Note)
# Refusals of one caller that are kept: whoever asks on and on is in the log, and does not push the others out.
REFUSALS = web.AppKey("refusals", Limit)


def refusals() -> Limit:
    """The limit of an application."""
    return Limit(30, 2.0)


@web.middleware
async def audited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every changing call, and every caller who claimed to be somebody and was turned away."""
    note = request[NOTE] = Note(_action(request))
    before = _epochs(request)
    try:
        response = await handler(request)
    except Problem as problem:
        _refused(request, note, before, problem.name, problem.detail)
        raise
    except UnknownOutcome as error:
        _keep(request, note, before, {}, "unknown-outcome", str(error))
        raise
    except KembarError as error:
        _refused(request, note, before, "not-carried-out", str(error))
        raise
    except web.HTTPException as error:
        _refused(request, note, before, NAMES.get(error.status, str(error.status)), error.reason)
        raise
    if note.result:
        _refused(request, note, before, note.result, "")
    elif request.method not in SAFE:
        accepted = response.status == 202 or note.accepted
        replayed = "Idempotency-Replayed" in response.headers
        result = "replayed" if replayed else "accepted" if accepted else "done"
        _keep(request, note, before, _epochs(request) if not accepted else {}, result, "")
    return response


async def show(request: web.Request) -> web.Response:
    """The newest entries, newest first."""
    snapshot, _ = seen(request, AccessRole.ADMIN)
    limit = query_of(request, LimitQuery).limit
    found = await asyncio.to_thread(request.app[BACKEND].read_audit, snapshot.name, limit)
    return web.json_response({"audit": [plain(one) for one in found]})


def _action(request: web.Request) -> str:
    resource = request.match_info.route.resource
    place = (resource.canonical if resource is not None else "unknown").rpartition("/clusters/{cluster}")[2]
    return f"{request.method} {place.removeprefix('/')}"


def _epochs(request: web.Request) -> dict[str, int]:
    """Of each cluster that this call may be about; nothing for one that only reads."""
    if request.method in SAFE:
        return {}
    snapshots, named = request.app[BACKEND].snapshots(), request.match_info.get("cluster")
    about = [snapshots[name] for name in snapshots if named in (None, name)]
    return {one.name: one.cluster.epoch for one in about if one.cluster is not None}


def _refused(request: web.Request, note: Note, before: dict[str, int], result: str, detail: str) -> None:
    denied = result in DENIALS and (presented(request) or TOKEN in request)
    if result == "slow-down" or not (denied or request.method not in SAFE):
        return
    token = request.get(TOKEN)
    key = token.sha256 if token is not None else origin_of(request)
    if request.app[REFUSALS].wait_s(key, request.app[BACKEND].now()) == 0.0:
        _keep(request, note, before, before, result, detail)


def _keep(
    request: web.Request, note: Note, before: dict[str, int], after: dict[str, int], result: str, detail: str
) -> None:
    if not note.kept:
        return
    backend, token = request.app[BACKEND], request.get(TOKEN)
    named = request.match_info.get("cluster")
    for cluster in backend.snapshots():
        if cluster not in (note.clusters or ((named,) if named else (cluster,))):
            continue
        backend.audit(
            cluster,
            Entry(
                at=utc(backend.wall_s()),
                actor=note.actor or (token.name if token is not None else "-"),
                role=str(token.role) if token is not None else "",
                origin=origin_of(request),
                instance=backend.instance,
                action=note.action,
                reason=note.reason,
                epoch=before.get(cluster),
                epoch_after=after.get(cluster),
                result=result,
                detail=detail[:TEXT_MAX],
                operation=note.operation,
            ),
        )
