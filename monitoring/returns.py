"""Returns in the API: the list, and one with its kept transactions. Reads only; what is decided is in `operations`."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from monitoring.auth import BACKEND, seen
from monitoring.backend import Backend, utc
from monitoring.problems import Problem
from monitoring.queries import RowsQuery, query_of
from monitoring.return_view import return_view, transaction_view
from orchestrator.core.access import AccessRole
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.snapshot import Snapshot

LISTED_MAX = 20


async def returns(request: web.Request) -> web.Response:
    """The newest returns, newest first, and how many transactions wait for a person."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    backend = request.app[BACKEND]
    ids = await asyncio.to_thread(backend.return_ids, snapshot.name)
    if snapshot.returning is not None:
        ids = (*ids, snapshot.returning.id)
    found = []
    for id in sorted(set(ids), reverse=True)[:LISTED_MAX]:
        record = await _record(backend, snapshot, id)
        if record is not None:
            found.append(_dated(return_view(snapshot, record)))
    return web.json_response({"returns": found, "open": snapshot.kept.total})


async def one_return(request: web.Request) -> web.Response:
    """One return: why, by which rung, what was done, what is open. `?rows=all` shows every row that is known here."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    every_row = query_of(request, RowsQuery).rows == "all"
    shown = await return_whole(request.app[BACKEND], snapshot, request.match_info["id"], every_row=every_row)
    response = web.json_response(shown)
    if snapshot.cluster is not None:
        response.etag = f"{snapshot.cluster.epoch}.{snapshot.cluster.seq}"
    return response


async def return_whole(backend: Backend, snapshot: Snapshot, id: str, *, every_row: bool) -> dict[str, Any]:
    """One return with its kept transactions. Raises Problem, CoordinatorUnavailable."""
    record = await _record(backend, snapshot, int(id)) if _is_id(id) else None
    if record is None:
        raise Problem("not-found", f"{snapshot.name} has no return {id:.80}", "see kembar reconcile list")
    kept = [transaction_view(one, whole=every_row) for one in snapshot.kept.of(record.id)]
    return {**_dated(return_view(snapshot, record)), "kept": kept}


async def _record(backend: Backend, snapshot: Snapshot, id: int) -> Reconcile | None:
    """The one that is under way as it was seen last; else its report, which has what was decided later too."""
    present = snapshot.returning if snapshot.returning and snapshot.returning.id == id else None
    if present is not None and present.open:
        return present
    return await asyncio.to_thread(backend.read_return, snapshot.name, id) or present


def _dated(shown: dict[str, Any]) -> dict[str, Any]:
    """With times as people read them."""
    stages = [one | {"at": utc(one["at_ms"] / 1000)} for one in shown["stages"]]
    settled = [one | {"at": utc(one["at_ms"] / 1000)} for one in shown["settled"]]
    return shown | {"stages": stages, "settled": settled}


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18
