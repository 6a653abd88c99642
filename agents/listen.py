"""What a load balancer asks: GET /primary and /standby, 200 or 503; and / for a person, when no orchestrator answers.

It can neither decide nor hold up a tick.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable

from aiohttp import web

from agents.standing import LAG_S, Standing, not_primary, not_standby
from agents.statuspage import status_page
from orchestrator.core.errors import Refused

SHUTDOWN_S = 0.5
KEEPALIVE_S = 30.0  # for a request's head to come, and between two of them
LAG_MAX_S = 3600.0
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
PAGE_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def role_socket(host: str, port: int) -> socket.socket:
    """A socket for `RoleServer`; port 0 takes a free one. Raises Refused."""
    try:
        return socket.create_server((host, port), backlog=64)
    except OSError as error:
        raise Refused(f"probe_listen: {host}:{port}: {error.strerror}: take another address or port") from None


class RoleServer:
    """Serves until told to stop. `run` blocks: the composition root gives it a thread. `standing` must not block."""

    def __init__(
        self, sock: socket.socket, standing: Callable[[], Standing], cluster: str, utc: Callable[[], str]
    ) -> None:
        self._sock, self._standing, self._cluster, self._utc = sock, standing, cluster, utc
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ending = threading.Event()

    def run(self) -> None:
        """Until `stop`; closes the socket."""
        asyncio.run(self._serve())

    def stop(self) -> None:
        """End `run`; from any thread."""
        self._ending.set()
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)

    async def _serve(self) -> None:
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        runner = web.AppRunner(
            self.application(), access_log=None, shutdown_timeout=SHUTDOWN_S, keepalive_timeout=KEEPALIVE_S
        )
        await runner.setup()
        try:
            await web.SockSite(runner, self._sock).start()
            if not self._ending.is_set():
                await self._stop.wait()
        finally:
            await runner.cleanup()

    def application(self) -> web.Application:
        """The page, and the two paths; OPTIONS as GET, for balancers that ask so."""
        app = web.Application(client_max_size=1024, middlewares=[_problems])
        app.router.add_get("/", self._page)
        for path, answer in (("/primary", self._primary), ("/standby", self._standby)):
            app.router.add_get(path, answer)
            app.router.add_route("OPTIONS", path, answer)
        return app

    async def _page(self, request: web.Request) -> web.Response:
        text = status_page(self._standing(), self._cluster, self._utc())
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=PAGE_HEADERS)

    async def _primary(self, request: web.Request) -> web.Response:
        if request.query:
            return _problem(request, 400, "invalid request", "/primary takes no query")
        now = self._standing()
        return _said(now, not_primary(now))

    async def _standby(self, request: web.Request) -> web.Response:
        lag_s = _lag_s(request)
        if lag_s is None:
            return _problem(request, 400, "invalid request", f"lag_s: a number of seconds up to {LAG_MAX_S:.0f}")
        now = self._standing()
        return _said(now, not_standby(now, lag_s))


def _lag_s(request: web.Request) -> float | None:
    """None: what was asked is not understood."""
    if set(request.query) - {"lag_s"} or len(request.query) > 1:
        return None
    try:
        lag_s = float(request.query.get("lag_s", LAG_S))
    except ValueError:
        return None
    return lag_s if 0 <= lag_s <= LAG_MAX_S else None


def _said(now: Standing, why_not: str) -> web.Response:
    body = {"node": now.node, "serves": not why_not, "why_not": why_not}
    return web.json_response(body, status=503 if why_not else 200, headers=HEADERS)


def _problem(request: web.Request, status: int, title: str, detail: str) -> web.Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": request.path}
    return web.Response(status=status, text=json.dumps(body), content_type="application/problem+json", headers=HEADERS)


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _problem(request, error.status, error.reason.lower(), "GET /, /primary or /standby?lag_s=5")
