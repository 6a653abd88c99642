"""`python -m lab.viewers URL CLUSTER VIEWERS EVENTS`: so many listen to a pair, each on a connection of its own.

Prints `ready` once all have been sent the whole, and when each has had EVENTS events of TYPE `NUMBER AT` for each
of them and each viewer: its number, and CLOCK_MONOTONIC. Not before, as whoever reads it may be slow.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence

import aiohttp

TYPE = "lab.measured"
READY_S = 30.0


async def listen(
    session: aiohttp.ClientSession, url: str, events: int, ready: asyncio.Event, seen: list[tuple[int, float]]
) -> None:
    """One of them. Raises aiohttp.ClientError, ConnectionError."""
    left, name = events, b""
    async with session.get(url) as answer:
        answer.raise_for_status()
        async for line in answer.content:
            at = time.monotonic()
            kind, _, value = line.rstrip().partition(b": ")
            if kind == b"event":
                name = value
            elif kind == b"data" and name == b"snapshot":
                ready.set()
            elif kind == b"data" and name == b"event":
                event = json.loads(value)
                if event["type"] == f"kembar.{TYPE}":
                    seen.append((event["data"]["number"], at))
                    left -= 1
                if left == 0:
                    return
    raise ConnectionError(f"a stream ended {left} events too soon")


async def everybody(url: str, viewers: int, events: int) -> list[tuple[int, float]]:
    """What all of them saw. Raises an ExceptionGroup if one is cut off, or never sent the whole."""
    connector, unbounded = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None)
    ready = [asyncio.Event() for _ in range(viewers)]
    seen: list[tuple[int, float]] = []
    async with (
        aiohttp.ClientSession(connector=connector, timeout=unbounded, read_bufsize=2**20) as session,
        asyncio.TaskGroup() as group,
    ):
        for one in ready:
            group.create_task(listen(session, url, events, one, seen))
        async with asyncio.timeout(READY_S):
            await asyncio.gather(*(one.wait() for one in ready))
        print("ready", flush=True)  # noqa: T201 - this is the result
    return seen


def main(arguments: Sequence[str]) -> int:
    """0 once everybody has seen everything."""
    url, cluster, viewers, events = arguments
    for number, at in asyncio.run(everybody(f"{url}/api/v1/clusters/{cluster}/stream", int(viewers), int(events))):
        print(number, at)  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
