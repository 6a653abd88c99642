"""`python -m tests.lab.receiving ADDRESS PORT FILE`: a receiver of alerts, run on a host of the lab.

Each POST becomes one JSON line: `path`, and `body` if it is JSON. What goes to /hang is never answered.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web


async def serve(address: str, port: int, file: Path) -> None:
    """Until it is ended."""

    async def take(request: web.Request) -> web.Response:
        line = json.dumps({"path": request.path, "body": json.loads(await request.read())})
        with file.open("a") as kept:
            kept.write(f"{line}\n")
        if request.path == "/hang":
            await asyncio.Event().wait()
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/{rest:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    await asyncio.Event().wait()


def main(arguments: Sequence[str]) -> int:
    address, port, file = arguments
    asyncio.run(serve(address, int(port), Path(file)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
