"""The runbooks over HTTP, for everybody: whoever is woken needs no token to read what to do."""

from __future__ import annotations

from aiohttp import web

from monitoring import manual
from monitoring.problems import Problem
from orchestrator.core.runbooks import PLACE


def routes() -> list[web.RouteDef]:
    """Their list, and each of them."""
    return [web.get(PLACE, contents), web.get(PLACE + "{name}", one)]


async def contents(request: web.Request) -> web.Response:
    """Address and title of each."""
    lines = [f"{PLACE}{name}  {manual.title(manual.read(name) or '')}" for name in manual.names()]
    return _plain("\n".join(lines) + "\n")


async def one(request: web.Request) -> web.Response:
    """As it was written: Markdown reads well as text."""
    text = manual.read(request.match_info["name"])
    if text is None:
        raise Problem("not-found", f"there is no runbook {request.match_info['name']!r:.80}", f"see {PLACE}")
    return _plain(text)


def _plain(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/plain", charset="utf-8")
