"""Who is asking, and whether the role suffices. Owns headers; tokens and roles are the business of core.access."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from aiohttp import web

from monitoring.backend import Backend
from monitoring.given import form_of
from monitoring.limits import Limit
from monitoring.problems import Handler, Problem, wants_page
from monitoring.session import COOKIE, RENEW_S, WHOLE_S, Session, csrf, opened, sealed
from orchestrator.core.access import AccessRole, Token, find_token
from orchestrator.core.snapshot import Snapshot

BACKEND = web.AppKey("backend", Backend)
SAFE = ("GET", "HEAD")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may do at once, and how fast that comes back."""

    denied: Limit = field(default_factory=lambda: Limit(5, 12.0))  # wrong credentials, by address
    actions: Limit = field(default_factory=lambda: Limit(120, 0.5))  # changing calls, by token


LIMITS = web.AppKey("limits", Limits)
TOKEN = web.RequestKey("token", Token)
SESSION = web.RequestKey("session", Session)
COUNTED = web.RequestKey("counted", bool)


@dataclass(frozen=True, slots=True)
class Caller:
    """The actor of whatever follows."""

    name: str
    role: AccessRole
    clusters: tuple[str, ...] = ()  # empty: all

    def reaches(self, cluster: str) -> bool:
        """Whether that cluster is for this caller to see."""
        return not self.clusters or cluster in self.clusters


def caller(request: web.Request, needed: AccessRole, cluster: str = "") -> Caller:
    """Who asks. Raises Problem: 401 without a valid token, 403 with one that may not, 429 for too many tries."""
    backend = request.app[BACKEND]
    token = request.get(TOKEN)
    if token is None:
        if needed is AccessRole.VIEWER and backend.anonymous_viewers and not presented(request):
            return Caller("anonymous", AccessRole.VIEWER)
        raise _unknown(request)
    if not token.role.covers(needed):
        raise Problem(
            "forbidden", f"{token.name} has role {token.role}, this needs {needed}", f"use a token of role {needed}"
        )
    if cluster and not token.reaches(cluster):
        raise Problem("forbidden", f"the token of {token.name} is not for cluster {cluster}")
    if request.method not in SAFE and COUNTED not in request:
        request[COUNTED] = True
        slow_down(request.app[LIMITS].actions, token.sha256, backend, f"{token.name} asks for too much at once")
    return Caller(token.name, token.role, token.clusters)


def seen(request: web.Request, needed: AccessRole) -> tuple[Snapshot, Caller]:
    """The cluster of the path, for a caller who may. Raises Problem: 401, 403, 404, 429."""
    name = request.match_info["cluster"]
    who = caller(request, needed, name)
    snapshots = request.app[BACKEND].snapshots()
    if name not in snapshots:
        known = ", ".join(sorted(filter(who.reaches, snapshots))) or "none"
        raise Problem("not-found", f"no cluster {name!r} here", f"known: {known}")
    return snapshots[name], who


def presented(request: web.Request) -> bool:
    """Whether the caller claims to be somebody."""
    return "Authorization" in request.headers


def still_known(request: web.Request) -> bool:
    """Whether what the caller came with is good now; for answers that take long."""
    backend, token, session = request.app[BACKEND], request.get(TOKEN), request.get(SESSION)
    if session is not None and backend.wall_s() - session.began_s >= WHOLE_S:
        return False
    return token is None or (token in backend.all_tokens() and token.valid(backend.wall_s()))


def slow_down(limit: Limit, key: str, backend: Backend, detail: str) -> None:
    """One more try. Raises Problem, 429, if that is too many."""
    wait_s = limit.wait_s(key, backend.now())
    if wait_s:
        raise Problem("slow-down", detail, f"ask again in {wait_s:.0f} s", retry_after_s=max(1, round(wait_s)))


def origin_of(request: web.Request) -> str:
    """The address that the caller has; behind a proxy, that of the proxy."""
    return request.remote or ""


def same_site(request: web.Request) -> bool:
    """Whether a browser sends this from one of our own pages; whatever is no browser names no origin."""
    origin = request.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc == request.host
    except ValueError:  # no URL at all
        return False


def form_token(request: web.Request) -> str:
    """What a form of this session has to carry as `csrf`; empty where nobody is logged in."""
    session = request.get(SESSION)
    return csrf(session, request.app[BACKEND].session_key) if session is not None else ""


def give_session(request: web.Request, response: web.StreamResponse, session: Session) -> None:
    """Put it into the browser's cookie, which no script reads and no other site sends."""
    secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
    value = sealed(session, request.app[BACKEND].session_key)
    response.set_cookie(COOKIE, value, max_age=WHOLE_S, path="/", httponly=True, secure=secure, samesite="Strict")


@web.middleware
async def recognise(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Finds the token of header or session. With a session, what changes something must come from a form of ours."""
    backend = request.app[BACKEND]
    token = _named(request, backend) if presented(request) else None
    session = None if presented(request) else _session(request, backend)
    if session is not None:
        token = session.token(backend.all_tokens(), backend.wall_s())
        if token is not None:
            request[SESSION] = session
    if token is not None:
        request[TOKEN] = token
    if SESSION in request and request.method not in SAFE:
        await _require_form(request)
    try:
        response = await handler(request)
    except Problem as problem:
        nobody = problem.name == "unauthenticated" and not presented(request)
        if not nobody or not wants_page(request) or request.method not in SAFE:
            raise
        raise web.HTTPSeeOther(f"/login?next={quote(request.path, safe='/')}") from None
    used = request.get(SESSION)
    if used is not None and backend.wall_s() - used.used_s > RENEW_S and not response.prepared:
        give_session(request, response, used.used(backend.wall_s()))
    return response


async def _require_form(request: web.Request) -> None:
    given = request.headers.get("X-CSRF-Token", "")
    if not given and request.content_type in FORMS:
        given = (await form_of(request)).get("csrf", "")
    proven = hmac.compare_digest(given.encode(errors="replace"), form_token(request).encode())
    if not (proven and same_site(request)):
        raise Problem("forbidden", "this was not sent by a page of ours", "load the page again, then ask again")


def _unknown(request: web.Request) -> Problem:
    backend = request.app[BACKEND]
    if presented(request):
        slow_down(request.app[LIMITS].denied, origin_of(request), backend, "too many wrong tokens from your address")
    hint = "send Authorization: Bearer TOKEN; ask an admin for one: kembar token create"
    return Problem("unauthenticated", "no valid token: unknown, expired or revoked", hint)


def _session(request: web.Request, backend: Backend) -> Session | None:
    cookie = request.cookies.get(COOKIE)
    return opened(cookie, backend.session_key, backend.wall_s()) if cookie else None


def _named(request: web.Request, backend: Backend) -> Token | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return find_token(value.strip(), backend.all_tokens(), backend.wall_s())
    # A browser sends Basic by itself, also when another site made it ask: so it may read, never act.
    if scheme.lower() == "basic" and request.method in SAFE:
        try:
            _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return find_token(password, backend.all_tokens(), backend.wall_s())
    return None
