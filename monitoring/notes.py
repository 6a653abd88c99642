"""Notes in the API: a line of the event log that somebody asks for, of what is done beside the pair."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from monitoring.audit import NOTE
from monitoring.auth import BACKEND, seen
from monitoring.given import body_of, key_of
from monitoring.operations import accepted, id_of, replay
from monitoring.problems import Problem
from monitoring.view import OPEN_STATES
from orchestrator.core.access import AccessRole
from orchestrator.core.errors import StaleWrite
from orchestrator.core.history import NOTE_MAX, NOTES_MAX
from orchestrator.core.model import NodeName
from orchestrator.core.requests import Kind, Request
from orchestrator.core.snapshot import Snapshot

TRIES = 3


def _one_line(text: str) -> str:
    """Without what moves a cursor, or shows a line as another one."""
    for place, one in enumerate(text):
        if not one.isprintable():
            raise ValueError(f"character {place + 1} is U+{ord(one):04X}: one line of printable characters is expected")
    return text


class NoteBody(BaseModel):
    """What `POST notes` takes."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, AfterValidator(_one_line)] = Field(min_length=1, max_length=NOTE_MAX, pattern=r"\S")
    severity: Literal["info", "warning"] = "info"  # critical is what the pair finds itself


async def add(request: web.Request) -> web.Response:
    """Write a line to the event log, in whatever epoch; the leader does, and the operation has ended when it has."""
    seen(request, AccessRole.OPERATOR)
    body = await body_of(request, NoteBody)
    snapshot, who = seen(request, AccessRole.OPERATOR)
    backend, id, text = request.app[BACKEND], id_of(who, key_of(request)), body.text.strip()
    note = request[NOTE]
    note.action, note.reason, note.operation = "note", text, id
    for left in reversed(range(TRIES)):
        wanted = Request(id, Kind.NOTE, NodeName(""), text, who.name, _epoch(snapshot), severity=body.severity)
        earlier = await asyncio.to_thread(backend.read_request, snapshot.name, id)
        if earlier is not None:
            return replay(snapshot, wanted, earlier)
        _not_too_many(snapshot)
        try:
            await asyncio.to_thread(backend.submit, snapshot.name, wanted)
            break
        except StaleWrite:  # the record moved on meanwhile, or another was first with the same key
            if not left:
                raise
        snapshot = backend.snapshots().get(snapshot.name, snapshot)
    return accepted(snapshot, wanted)


def _not_too_many(snapshot: Snapshot) -> None:
    """Each is a node that both agents read, and the log would keep no more of them."""
    waiting = [one.id for one in snapshot.requests.values() if one.kind is Kind.NOTE and one.state in OPEN_STATES]
    if len(waiting) >= NOTES_MAX:
        text = f"{len(waiting)} notes wait already, and no leader has written them to the event log"
        raise Problem("operation-running", text, "wait until they are written: kembar doctor", operation=waiting[0])


def _epoch(snapshot: Snapshot) -> int:
    if snapshot.cluster is None:
        raise Problem("coordinator-unavailable", f"{snapshot.name} has no desired record yet")
    return snapshot.cluster.epoch
