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
    arrived: threading.Event = field(default_factory=threading.Event)
    _end: asyncio.Event = field(default_factory=asyncio.Event)
    _go_on: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None

    def release(self) -> None:
        """Let every answer that hangs go."""
        self.hangs = False
        self._loop.call_soon_threadsafe(self._go_on.set)

    def stop(self) -> None:
        for event in (self._go_on, self._end):
            self._loop.call_soon_threadsafe(event.set)

    async def take(self, request: web.Request) -> web.Response:
        content = await request.read()
        self.got.append(Got(request.path, dict(request.headers), content))
        self.arrived.set()
        if self.hangs:
            await self._go_on.wait()
        return web.Response(status=self.status, text=self.text, headers=self.headers)

    async def serve(self, ready: threading.Event) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._loop = asyncio.get_running_loop()
        ready.set()
        await self._end.wait()
        await runner.cleanup()


@contextmanager
def receiver(**answers: Any) -> Iterator[Receiver]:
    """One that runs until the block ends."""
    one, ready = Receiver(**answers), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(one.serve(ready)))
    thread.start()
    try:
        assert ready.wait(60.0)
        yield one
    finally:
        one.stop()
        thread.join()
