"""Login and logout of a browser: the token is posted once, and becomes a session."""

from __future__ import annotations

import secrets

from aiohttp import web

from monitoring.audit import NOTE
from monitoring.auth import BACKEND, LIMITS, SESSION, TOKEN, form_token, give_session, origin_of, same_site, slow_down
from monitoring.given import form_of
from monitoring.problems import Problem
from monitoring.rendering import html
from monitoring.session import COOKIE, Session
from orchestrator.core.access import find_token


def routes() -> list[web.RouteDef]:
    """The paths of a session."""
    return [web.get("/login", form), web.post("/login", login), web.post("/logout", logout)]


async def form(request: web.Request) -> web.Response:
    """The form, which works without JavaScript."""
    return _form(request, request.query.get("next", "/"))


async def login(request: web.Request) -> web.Response:
    """Begin a session with a valid token; else the form again, which says so."""
    backend, posted = request.app[BACKEND], await form_of(request)
    after, secret = posted.get("next", "/"), posted.get("token", "").strip()
    note = request[NOTE]
    note.action = "login"
    if not same_site(request):
        raise Problem("forbidden", "this was not sent by a page of ours", "load the page again, then ask again")
    token = find_token(secret, backend.all_tokens(), backend.wall_s())
    if token is None:
        slow_down(request.app[LIMITS].denied, origin_of(request), backend, "too many wrong tokens from your address")
        note.result = "unauthenticated"
        return _form(request, after, "No valid token: unknown, expired or revoked.", 401)
    request[TOKEN] = token
    note.clusters = token.clusters
    now_s = backend.wall_s()
    response = web.Response(status=303, headers={"Location": _local(after)})
    request.pop(SESSION, None)  # of somebody who was logged in before
    give_session(request, response, Session(token.sha256, secrets.token_urlsafe(12), now_s, now_s))
    return response


async def logout(request: web.Request) -> web.Response:
    """End the session of this browser."""
    request[NOTE].action = "logout"
    request[NOTE].kept = request.pop(SESSION, None) is not None
    response = web.Response(status=303, headers={"Location": "/login"})
    response.del_cookie(COOKIE, path="/")
    return response


def _form(request: web.Request, after: str, failed: str = "", status: int = 200) -> web.Response:
    return html("login.html.j2", status=status, after=_local(after), failed=failed, csrf=form_token(request))


def _local(after: str) -> str:
    """Where to go on: a path of ours, nothing that leads elsewhere."""
    plain = after.isascii() and after.isprintable() and "\\" not in after
    return after if plain and after.startswith("/") and not after.startswith("//") else "/"
