"""Who is asking, and whether the role suffices. Owns headers; tokens and roles are the business of core.access."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from aiohttp import web

from monitoring.backend import Backend
from monitoring.problems import Problem
from orchestrator.core.access import AccessRole, Token, find_token
from orchestrator.core.snapshot import Snapshot

BACKEND = web.AppKey("backend", Backend)
SAFE = ("GET", "HEAD")


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
    """Who asks. Raises Problem: 401 without a valid token, 403 with one that may not."""
    backend = request.app[BACKEND]
    token = _token(request, backend)
    if token is None:
        if needed is AccessRole.VIEWER and backend.anonymous_viewers and "Authorization" not in request.headers:
            return Caller("anonymous", AccessRole.VIEWER)
        raise Problem("unauthenticated", "no valid token", "send Authorization: Bearer TOKEN; ask an admin for one")
    if not token.role.covers(needed):
        raise Problem(
            "forbidden", f"{token.name} has role {token.role}, this needs {needed}", f"use a token of role {needed}"
        )
    if cluster and not token.reaches(cluster):
        raise Problem("forbidden", f"the token of {token.name} is not for cluster {cluster}")
    return Caller(token.name, token.role, token.clusters)


def seen(request: web.Request, needed: AccessRole) -> tuple[Snapshot, Caller]:
    """The cluster of the path, for a caller who may. Raises Problem: 401, 403, 404."""
    name = request.match_info["cluster"]
    who = caller(request, needed, name)
    snapshots = request.app[BACKEND].snapshots()
    if name not in snapshots:
        known = ", ".join(sorted(snapshots)) or "none"
        raise Problem("not-found", f"no cluster {name!r} here", f"known: {known}")
    return snapshots[name], who


def _token(request: web.Request, backend: Backend) -> Token | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return find_token(value.strip(), backend.tokens, backend.wall_s())
    # A browser sends Basic by itself, also when another site made it ask: so it may read, never act.
    if scheme.lower() == "basic" and request.method in SAFE:
        try:
            _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return find_token(password, backend.tokens, backend.wall_s())
    return None
