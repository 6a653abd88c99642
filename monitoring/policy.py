"""The section `reconcile` of the policy in the API: read by whoever may look, changed by an admin who saw it last."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from monitoring.audit import NOTE
from monitoring.auth import BACKEND, seen
from monitoring.backend import Backend
from monitoring.given import body_of
from monitoring.problems import Problem
from orchestrator.core.access import AccessRole
from orchestrator.core.errors import StaleWrite
from orchestrator.core.mergepolicy import Changed, MergePolicy
from orchestrator.core.model import Policy
from orchestrator.core.wire import plain


class ReconcileBody(BaseModel):
    """What `PUT policy/reconcile` takes: the whole section; what is not named gets its default."""

    model_config = ConfigDict(extra="forbid")
    reconcile: MergePolicy
    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


async def show(request: web.Request) -> web.Response:
    """The section, and who changed it last; its ETag is the version of the record."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    policy, version = await asyncio.to_thread(request.app[BACKEND].read_policy, snapshot.name)
    return _answer(policy, version)


async def change(request: web.Request) -> web.Response:
    """The new section, in force as soon as agents and orchestrators have read it."""
    snapshot, who = seen(request, AccessRole.ADMIN)
    body = await body_of(request, ReconcileBody)
    request[NOTE].action, request[NOTE].reason = "policy reconcile", body.reason.strip()
    backend, expected = request.app[BACKEND], version_of(request)
    policy, version = await asyncio.to_thread(backend.read_policy, snapshot.name)
    wanted = replace(policy, reconcile=body.reconcile, changed=Changed(who.name, body.reason.strip()))
    return _answer(wanted, await kept(backend, snapshot.name, wanted, version, expected))


async def kept(
    backend: Backend, cluster: str, wanted: Policy, version: int, expected: int, *, dry_run: bool = False
) -> int:
    """Put `wanted` in the place of what was read at `version`, if the caller saw that; its version. Raises Problem."""
    try:
        if version != expected:
            raise StaleWrite(f"you saw version {expected}, it is {version} now")
        if dry_run:
            return version
        await asyncio.to_thread(backend.put_policy, cluster, wanted, version)
    except StaleWrite as error:
        raise Problem("stale-policy", f"the policy was changed meanwhile: {error}", "look again, ask again") from None
    return version + 1


def version_of(request: web.Request) -> int:
    """The version of the policy that the caller saw. Raises Problem."""
    match = re.fullmatch(r'"?([0-9]{1,18})"?', request.headers.get("If-Match", ""))
    if match is None:
        raise Problem("if-match-required", 'If-Match: "<version>" is needed', "read the policy, send its ETag")
    return int(match[1])


def _answer(policy: Policy, version: int) -> web.Response:
    response = web.json_response({"reconcile": plain(policy.reconcile), "changed": plain(policy.changed)})
    response.etag = str(version)
    return response
