"""The web server of an orchestrator: page and API on one socket, in one thread with an event loop. Decides nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Mapping

from aiohttp import web

from monitoring import api, calls, dossiers, exposition, forms, live, login, openapi, page, rendering, runbooks, stream
from monitoring.audit import REFUSALS, audited, refusals
from monitoring.auth import BACKEND, LIMITS, Limits, recognise
from monitoring.backend import Backend
from monitoring.live import PAGES, Pages
from monitoring.problems import problems
from monitoring.sampling import SAMPLER, Sampler, sampling
from monitoring.stream import FEED, Feed
from monitoring.tls import ServerTls

BODY_MAX_BYTES = 64 * 1024
KEEPALIVE_S = 30.0  # for a request's head to come, and between two of them; the library waits for an hour
SHUTDOWN_S = 0.5  # what a long poll gets when we end
FIRST_INHERITED_FD = 3  # of LISTEN_FDS, man sd_listen_fds
STRICT_TRANSPORT = "max-age=31536000"
LOCALHOST = "localhost"  # a name that all share who forward a port to their own machine: it is not ours to bind
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all a browser says of our own forms that their origin is null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "kembar",
}


async def secure(request: web.Request, response: web.StreamResponse) -> None:
    """The same strict headers on every response; over TLS of our own, also that there is no other way to come."""
    response.headers.update(HEADERS)
    if request.secure and request.url.host != LOCALHOST:
        response.headers["Strict-Transport-Security"] = STRICT_TRANSPORT


MIDDLEWARES = (problems, audited, recognise)  # from the outermost


def application(backend: Backend) -> web.Application:
    """Page and API on one backend."""
    app = web.Application(client_max_size=BODY_MAX_BYTES, middlewares=MIDDLEWARES)
    app[BACKEND], app[LIMITS], app[REFUSALS] = backend, Limits(), refusals()
    app[FEED], app[PAGES], app[SAMPLER] = Feed(), Pages(), Sampler()
    app.cleanup_ctx.append(sampling)
    app.on_response_prepare.extend([secure, api.describe])
    app.on_shutdown.append(stream.end)
    app.add_routes(
        [
            *calls.routes(),
            *openapi.routes(),
            *page.routes(),
            *live.routes(),
            *dossiers.routes(),
            *forms.routes(),
            *runbooks.routes(),
            *login.routes(),
            *exposition.routes(),
        ]
    )
    app.router.add_get("/static/{name}", rendering.file)
    return app


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket of our own; port 0 takes a free one. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock


def inherited_socket(environ: Mapping[str, str]) -> socket.socket | None:
    """The socket that systemd or the lab opened for us, None if nobody did. Several processes may share it."""
    for_us = environ.get("LISTEN_PID", str(os.getpid())) == str(os.getpid())
    if not for_us or environ.get("LISTEN_FDS", "0") in ("", "0"):
        return None
    return socket.socket(fileno=FIRST_INHERITED_FD)


class Web:
    """Serves until told to stop. `run` blocks: the composition root gives it a thread."""

    def __init__(self, backend: Backend, sock: socket.socket, tls: ServerTls | None = None) -> None:
        self._backend = backend
        self._sock = sock
        self._tls = tls
        self._serving = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopped_early = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._sock.getsockname()[:2]
        return f"{'http' if self._tls is None else 'https'}://{host}:{port}"

    def run(self) -> None:
        """Serve until `stop`. Closes the socket at its end."""
        asyncio.run(self._serve())

    def wait_serving(self, timeout_s: float) -> bool:
        """Whether it accepts connections within `timeout_s`."""
        return self._serving.wait(timeout_s)

    def stop(self) -> None:
        """End `run`; from any thread, at any time, more than once."""
        self._stopped_early.set()
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        runner = web.AppRunner(
            application(self._backend), access_log=None, shutdown_timeout=SHUTDOWN_S, keepalive_timeout=KEEPALIVE_S
        )
        await runner.setup()
        try:
            context = None if self._tls is None else self._tls.context
            await web.SockSite(runner, self._sock, ssl_context=context).start()
            self._serving.set()
            if not self._stopped_early.is_set():
                await self._stop.wait()
        finally:
            await runner.cleanup()
