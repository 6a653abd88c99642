"""What is told to persons, over the API: what is open, the queue of each channel, and a test message."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from monitoring.audit import NOTE
from monitoring.auth import BACKEND, seen
from monitoring.backend import Backend, Desk
from monitoring.given import body_of, key_of
from monitoring.problems import Problem
from orchestrator.core.access import AccessRole
from orchestrator.core.errors import StaleWrite
from orchestrator.core.outbox import Outgoing, Queue
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import plain


class TrialBody(BaseModel):
    """What `POST alerts/test` takes."""

    model_config = ConfigDict(extra="forbid")
    channel: str = Field(min_length=1, max_length=31, pattern=r"^[a-z0-9][a-z0-9-]*$")
    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


async def show(request: web.Request) -> web.Response:
    """What is open, and each channel with what waits in it."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    desk = request.app[BACKEND].desks.get(snapshot.name)
    outgoing = await asyncio.to_thread(desk.outgoing) if desk else Outgoing((), ())
    return web.json_response(
        {
            "raised": [plain(one) for one in outgoing.raised],
            "channels": [_channel(queue) for queue in outgoing.channels],
        }
    )


async def try_out(request: web.Request) -> web.Response:
    """Queue a message that is marked as a test, for one channel; repeated with the same key it is queued once."""
    snapshot, who = seen(request, AccessRole.ADMIN)
    body = await body_of(request, TrialBody)
    request[NOTE].action, request[NOTE].reason = f"alerts test {body.channel}", body.reason.strip()
    desk = _desk(request.app[BACKEND], snapshot, body.channel)
    given = key_of(request)
    key = hashlib.sha256(f"{who.name}\0{given}".encode()).hexdigest()[:32]
    try:
        notice = await asyncio.to_thread(desk.try_out, body.channel, key, who.name, body.reason.strip())
    except StaleWrite as error:
        raise Problem("operation-running", str(error), "see orchestrator.yaml of the leader, then ask again") from None
    return web.json_response({"channel": body.channel, "name": f"test-{key}", "id": notice.id}, status=202)


def _desk(backend: Backend, snapshot: Snapshot, channel: str) -> Desk:
    desk = backend.desks.get(snapshot.name)
    names = [route.name for route in desk.routes] if desk else []
    if desk is None or channel not in names:
        known = ", ".join(names) or "none is configured"
        raise Problem("not-found", f"{channel!r} is no channel of {snapshot.name}", f"alerts.channels: {known}")
    return desk


def _channel(queue: Queue) -> dict[str, Any]:
    return {**plain(queue.route), "waiting": list(queue.waiting), **plain(queue.state)}
