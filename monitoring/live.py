"""The page as a stream: of what everybody sees alike, only the blocks that changed, made once for all who look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from monitoring.auth import BACKEND, Caller, seen
from monitoring.backend import Backend
from monitoring.blocks import charts, own, shared
from monitoring.page import asked, offered
from monitoring.rendering import ICONS, SERVED
from monitoring.sampling import SAMPLER, Sampler
from monitoring.stream import Shown, listen, turns, write
from orchestrator.core.access import AccessRole

MADE_WITH = " ".join(SERVED)  # the files that belong to these blocks; a page with others loads itself anew


@dataclass(frozen=True, slots=True)
class Made:
    """The blocks of one turn; the same object for everybody."""

    turn: int
    blocks: Mapping[str, str]


NOTHING = Made(0, {})  # what every listener has at first


@dataclass(slots=True)
class Pages:
    """What was made of the present turn of each cluster, for whoever asks next."""

    _made: dict[str, Made] = field(default_factory=dict)
    _changes: dict[str, tuple[int, dict[int, bytes]]] = field(default_factory=dict)
    _own: dict[str, tuple[int, dict[tuple[str, str, str], bytes]]] = field(default_factory=dict)

    def made(self, backend: Backend, sampler: Sampler, shown: Shown) -> Made:
        """The blocks of this turn."""
        name = shown.snapshot.name
        made = self._made.get(name, NOTHING)
        if made.turn != shown.turn:
            drawn = charts(sampler.charts(backend, shown.snapshot))
            made = self._made[name] = Made(shown.turn, {**shared(shown.view), **drawn})
        return made

    def changes(self, shown: Shown, before: Made, now: Made) -> bytes:
        """The event that turns `before`, which is what a listener was sent, into `now`."""
        turn, events = self._changes.get(shown.snapshot.name, (0, {}))
        if turn != now.turn:
            turn, events = self._changes[shown.snapshot.name] = (now.turn, {})
        if before.turn not in events:
            view = shown.view
            events[before.turn] = _event(
                {id: html for id, html in now.blocks.items() if before.blocks.get(id) != html},
                title=f"[{view['mark']}] {view['cluster']}: {view['verdict']}",
                icon=ICONS[view["state"]],
                state=view["state"],
                made_with=MADE_WITH,
            )
        return events[before.turn]

    def mine(self, backend: Backend, shown: Shown, who: Caller, operation: str) -> bytes:
        """The event with what depends on who looks."""
        turn, made = self._own.get(shown.snapshot.name, (0, {}))
        if turn != shown.turn:
            turn, made = self._own[shown.snapshot.name] = (shown.turn, {})
        key = (who.name, str(who.role), operation)
        if key not in made:
            found = offered(backend, shown.snapshot, who), asked(shown.snapshot, operation)
            made[key] = _event(own(shown.view, *found))
        return made[key]


PAGES = web.AppKey("pages", Pages)


def routes() -> list[web.RouteDef]:
    """Beside the page itself."""
    return [web.get("/c/{cluster}/stream", follow, allow_head=False)]


async def follow(request: web.Request) -> web.StreamResponse:
    """The blocks of the page, all at first, then whatever changes."""
    return await listen(request, _send_page)


async def _send_page(request: web.Request, response: web.StreamResponse, name: str) -> None:
    backend, pages = request.app[BACKEND], request.app[PAGES]
    _, who = seen(request, AccessRole.VIEWER)
    before = NOTHING
    mine_before = b""
    async with aclosing(turns(request, response, name)) as told:
        async for shown in told:
            now = pages.made(backend, request.app[SAMPLER], shown)
            mine = pages.mine(backend, shown, who, request.query.get("operation", ""))
            changes = pages.changes(shown, before, now)
            await write(response, changes + (mine if mine != mine_before else b""))
            before, mine_before = now, mine


def _event(blocks: Mapping[str, str], **more: Any) -> bytes:
    return f"event: blocks\ndata: {json.dumps({'blocks': blocks, **more})}\n\n".encode()
