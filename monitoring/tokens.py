"""The tokens of a cluster in the API: made, listed and revoked by an admin. A secret is shown once, to who made it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from monitoring.audit import NOTE
from monitoring.auth import BACKEND, seen
from monitoring.backend import Backend, utc
from monitoring.given import body_of, seconds
from monitoring.problems import Problem
from orchestrator.core.access import AccessRole, Token, Tokens, digest
from orchestrator.core.errors import StaleWrite

TOKENS_MAX = 200
TRIES = 3
NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
RESERVED = ("anonymous", "orchestrator")


class TokenBody(BaseModel):
    """What `POST tokens` takes."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=NAME)  # who acts: the actor in history and audit
    role: AccessRole
    for_: str = Field(default="90d", alias="for", pattern=r"^[0-9]{1,4}[smhd]?$")  # 0: without an end
    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


async def show(request: web.Request) -> web.Response:
    """Every token that is good for this cluster, expired ones too; never a secret or a whole hash."""
    snapshot, _ = seen(request, AccessRole.ADMIN)
    backend = request.app[BACKEND]
    kept, _ = await asyncio.to_thread(backend.read_tokens, snapshot.name)
    rows = [_shown(one, backend, "file") for one in backend.tokens if one.reaches(snapshot.name)]
    return web.json_response({"tokens": [*rows, *(_shown(one, backend, "cluster") for one in kept.tokens)]})


async def create(request: web.Request) -> web.Response:
    """A new token, good at every orchestrator as soon as it has read the record; its secret is in this answer alone."""
    snapshot, who = seen(request, AccessRole.ADMIN)
    body = await body_of(request, TokenBody)
    note = request[NOTE]
    note.action, note.reason = f"token create {body.name} {body.role}", body.reason.strip()
    backend, secret, lasts_s = request.app[BACKEND], secrets.token_urlsafe(32), seconds(body.for_)
    now_s = backend.wall_s()
    token = Token(
        body.name, body.role, digest(secret), (), now_s + lasts_s if lasts_s else None, made_s=now_s, made_by=who.name
    )

    def added(kept: Tokens) -> Tokens:
        present = (*(one for one in backend.tokens if one.reaches(snapshot.name)), *kept.tokens)
        if body.name in RESERVED or any(one.name == body.name and one.valid(now_s) for one in present):
            raise Problem("token-exists", f"there is a token {body.name!r}", "take another name, or revoke it first")
        if len(kept.without(body.name).tokens) >= TOKENS_MAX:
            raise Problem("token-exists", f"there are {TOKENS_MAX} tokens", "revoke what nobody uses")
        return kept.with_token(token)

    await _change(backend, snapshot.name, added)
    return web.json_response(_shown(token, backend, "cluster") | {"token": secret}, status=201)


async def revoke(request: web.Request) -> web.Response:
    """Good for nothing from now on, its sessions included."""
    snapshot, _ = seen(request, AccessRole.ADMIN)
    backend, name = request.app[BACKEND], request.match_info["name"]
    request[NOTE].action = f"token revoke {name:.64}"

    def removed(kept: Tokens) -> Tokens:
        if all(one.name != name for one in kept.tokens):
            of_file = any(one.name == name for one in backend.tokens)
            hint = "it is in tokens_file: remove it there, at each orchestrator" if of_file else "see kembar token list"
            raise Problem("not-found", f"{snapshot.name} keeps no token {name!r:.80}", hint)
        return kept.without(name)

    await _change(backend, snapshot.name, removed)
    return web.json_response({"revoked": name})


async def _change(backend: Backend, cluster: str, change: Callable[[Tokens], Tokens]) -> None:
    """Read, change, write; again if another was first. Raises Problem, StaleWrite, CoordinatorUnavailable."""
    for left in reversed(range(TRIES)):
        kept, version = await asyncio.to_thread(backend.read_tokens, cluster)
        try:
            await asyncio.to_thread(backend.put_tokens, cluster, change(kept), version)
        except StaleWrite:
            if not left:
                raise
        else:
            return


def _shown(token: Token, backend: Backend, source: str) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": str(token.role),
        "fingerprint": token.fingerprint,
        "expires": utc(token.expires_s) if token.expires_s is not None else None,
        "valid": token.valid(backend.wall_s()),
        "made": utc(token.made_s) if token.made_s else None,
        "made_by": token.made_by,
        "source": source,
    }
