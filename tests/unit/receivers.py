"""Receivers of alerts on loopback, as real as any: an HTTP server in a thread, which answers as it is told to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Got:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass
class Receiver:
    """`status`, `headers` and `text` are what it answers; while it `hangs` it answers nothing."""

    status: int = 202
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    got: list[Got] = field(default_factory=list)
    url: str = ""
    _end: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        content = await request.read()
        self.got.append(Got(request.path, dict(request.headers), content))
        if self.hangs:
            await self._end.wait()
        return web.Response(status=self.status, text=self.text, headers=self.headers)

    async def serve(self, ready: threading.Event, loop: list[asyncio.AbstractEventLoop]) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        loop.append(asyncio.get_running_loop())
        ready.set()
        await self._end.wait()
        await runner.cleanup()


@contextmanager
def receiver(**answers: Any) -> Iterator[Receiver]:
    """One that runs until the block ends."""
    one, ready, loop = Receiver(**answers), threading.Event(), []
    thread = threading.Thread(target=lambda: asyncio.run(one.serve(ready, loop)))
    thread.start()
    try:
        assert ready.wait(10.0)
        yield one
    finally:
        loop[0].call_soon_threadsafe(one._end.set)
        thread.join()
