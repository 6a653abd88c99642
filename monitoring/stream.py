"""Server-sent events: one watcher of the snapshots while anybody listens; each listener is sent what he has not seen.

Nothing is kept for a listener: what he missed he gets from the snapshot, or the whole of it. One who does not read is
dropped.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from monitoring.auth import BACKEND, seen, still_known
from monitoring.backend import Backend
from monitoring.envelope import envelope
from monitoring.node_view import blind
from monitoring.problems import Problem
from orchestrator.core.access import AccessRole
from orchestrator.core.model import Instant, Report
from orchestrator.core.snapshot import Snapshot

STREAMS_MAX = 256
LOOK_EVERY_S = 0.05  # at the snapshot in memory, once for all listeners
STATE_EVERY_S = 1.0  # without news, so that ages move
COMMENT_EVERY_S = 10.0  # without anything to say, so that a proxy keeps the connection
WRITE_S = 10.0  # what a listener may take for what he is sent
RETRY_MS = 1000

Sending = Callable[[web.Request, web.StreamResponse, str], Awaitable[None]]


@dataclass(slots=True)
class Shown:
    """One cluster as it was sent last."""

    snapshot: Snapshot
    about: tuple[Any, ...]
    at: Instant
    view: dict[str, Any]
    state: bytes  # the view, ready to be sent
    turn: int = 0  # grows with each


@dataclass(slots=True)
class Feed:
    """What all listeners of an application share."""

    followed: Counter[str] = field(default_factory=Counter)  # cluster -> its listeners
    shown: dict[str, Shown] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    watcher: asyncio.Task[None] | None = None
    ending: bool = False

    @property
    def listeners(self) -> int:
        """Of all clusters."""
        return self.followed.total()

    def look(self, backend: Backend) -> None:
        """Take what is new of the clusters that somebody follows, and wake whoever waits."""
        found, snapshots = False, backend.snapshots()
        for name in +self.followed:
            snapshot = snapshots[name]
            before, about = self.shown.get(name), _about(backend, snapshot)
            if before is not None and before.about == about and backend.now() - before.at < STATE_EVERY_S:
                continue
            view = backend.view(snapshot)
            turn = before.turn + 1 if before is not None else 1
            self.shown[name] = Shown(snapshot, about, backend.now(), view, json.dumps(view).encode(), turn)
            found = True
        if found:
            self.wake()

    def wake(self) -> None:
        """Whoever waits now."""
        news, self.news = self.news, asyncio.Event()
        news.set()

    async def watch(self, backend: Backend) -> None:
        """Until nobody listens."""
        while self.listeners and not self.ending:
            self.look(backend)
            await asyncio.sleep(LOOK_EVERY_S)


FEED = web.AppKey("feed", Feed)


async def end(app: web.Application) -> None:
    """Every stream, when the server ends."""
    app[FEED].ending = True
    app[FEED].wake()


async def follow(request: web.Request) -> web.StreamResponse:
    """What happens, as server-sent events: `snapshot` at first, then `state` and `event`."""
    return await listen(request, _send_all)


async def listen(request: web.Request, send: Sending) -> web.StreamResponse:
    """Keep a listener until he or the server ends; `send` writes to him. Raises Problem."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    feed, backend = request.app[FEED], request.app[BACKEND]
    if feed.listeners >= STREAMS_MAX:
        raise Problem("slow-down", f"{STREAMS_MAX} streams are open here", "ask another orchestrator", retry_after_s=5)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    transport = request.transport
    feed.followed[snapshot.name] += 1
    try:
        feed.look(backend)
        if feed.watcher is None or feed.watcher.done():
            feed.watcher = asyncio.create_task(feed.watch(backend))
        await write(response, f"retry: {RETRY_MS}\n\n".encode())
        await send(request, response, snapshot.name)
    except (TimeoutError, ConnectionError):
        request.protocol.force_close()
        if transport is not None:
            transport.abort()  # a close would wait for him to read, and keep socket and message until then
    finally:
        feed.followed[snapshot.name] -= 1
    return response


async def turns(request: web.Request, response: web.StreamResponse, name: str) -> AsyncGenerator[Shown, None]:
    """One cluster whenever there is something to tell, as long as the listener is known; in between he is kept."""
    feed, turn = request.app[FEED], 0
    while not feed.ending and still_known(request):
        news, shown = feed.news, feed.shown[name]
        if shown.turn != turn:
            turn = shown.turn
            yield shown
        try:
            async with asyncio.timeout(COMMENT_EVERY_S):
                await news.wait()
        except TimeoutError:
            await write(response, b": still here\n\n")


async def _send_all(request: web.Request, response: web.StreamResponse, name: str) -> None:
    number = _replayed_from(request, request.app[FEED].shown[name].snapshot)
    async with aclosing(turns(request, response, name)) as told:
        async for shown in told:
            newest = max(shown.snapshot.events, default=0)
            if number is None:
                await write(response, f"event: snapshot\nid: {newest}\n".encode() + b"data: " + shown.state + b"\n\n")
            else:
                news = _events(shown.snapshot, number)
                await write(response, news + b"event: state\ndata: " + shown.state + b"\n\n")
            number = newest


async def write(response: web.StreamResponse, data: bytes) -> None:
    """To a listener. Raises TimeoutError and ConnectionError where he does not read."""
    async with asyncio.timeout(WRITE_S):
        await response.write(data)


def _events(snapshot: Snapshot, after: int) -> bytes:
    """Those that were not sent yet, oldest first."""
    return b"".join(
        f"event: event\nid: {number}\ndata: {json.dumps(envelope(snapshot, number, event))}\n\n".encode()
        for number, event in sorted(snapshot.events.items())
        if number > after
    )


def _replayed_from(request: web.Request, snapshot: Snapshot) -> int | None:
    """The number after which everything is still known; None: so much was missed that the whole is shown anew."""
    text = request.headers.get("Last-Event-ID", "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        return None
    number = int(text)
    oldest, newest = min(snapshot.events, default=0), max(snapshot.events, default=0)
    return number if oldest <= number <= newest else None


def _about(backend: Backend, s: Snapshot) -> tuple[Any, ...]:
    """What is told of at once when it changes; the rest only grows older."""
    return (
        s.cluster, s.finding, s.waiting, s.connected, s.paused, s.hold_down, s.leader, s.returning, s.kept, s.incidents,
        tuple(s.requests.values()), tuple(s.events), blind(s, backend.elapsed_s(s)),
        [(lease.value.state, lease.value.epoch, lease.value.gate_open) for lease in s.leases.values()],
        [_lasting(report.value) for report in s.reports.values()],
    )  # fmt: skip


def _lasting(report: Report) -> Report:
    """Without what moves all the time."""
    return replace(
        report, executed="", received="", received_age_s=0.0, backlog_transactions=0, oldest_transaction_s=0.0,
        stalled_s=0.0, unheard_s=0.0, host=Report(report.node).host, margins=Report(report.node).margins,
        wall_s=0.0,
    )  # fmt: skip
