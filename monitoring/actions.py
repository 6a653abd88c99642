"""What could be asked of a pair now: each action with its pre-checks, and why it would be refused."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from monitoring.auth import BACKEND, Caller, seen
from monitoring.backend import Backend
from monitoring.node_view import blind
from monitoring.operations import OperationBody, checked, role_for
from orchestrator.core.access import AccessRole
from orchestrator.core.requests import OF_RETURNS, Kind
from orchestrator.core.snapshot import Snapshot

OFFERED = (*(kind for kind in Kind if kind not in OF_RETURNS | {Kind.NOTE}), Kind.REJOIN)


async def show(request: web.Request) -> web.Response:
    """Each action: whether it would be admitted now and may be asked for by the caller, and why not."""
    snapshot, who = seen(request, AccessRole.VIEWER)
    return web.json_response({"actions": actions(request.app[BACKEND], snapshot, who)})


def actions(backend: Backend, snapshot: Snapshot, who: Caller) -> list[dict[str, Any]]:
    """As the API and the page show them. Raises Problem while there is no record."""
    asked = [OperationBody.model_validate({"kind": str(kind), "reason": "what if"}) for kind in OFFERED]
    return [judged(backend, snapshot, one, who) for one in asked]


def judged(backend: Backend, snapshot: Snapshot, asked: OperationBody, who: Caller) -> dict[str, Any]:
    """One of them with its pre-checks. Raises Problem while there is no record."""
    shown, role = checked(backend, snapshot, asked, who), role_for(Kind(asked.kind))
    reasons = [f"{check['name']}: {check['detail']}" for check in shown["checks"] if not check["passed"]]
    reasons = [*held_back(backend, snapshot, who, role), *reasons]
    kept = {name: shown[name] for name in ("kind", "to", "epoch", "checks", "last_three_ms")}
    return {**kept, "role": str(role), "enabled": not reasons, "disabled_reasons": reasons}


def held_back(backend: Backend, snapshot: Snapshot, who: Caller, role: AccessRole) -> list[str]:
    """Why nothing of that role may be asked for, whatever the pre-checks say."""
    reasons = []
    if blind(snapshot, backend.elapsed_s(snapshot)):
        reasons.append("what is shown may be long past")
    if not who.role.covers(role):
        reasons.append(f"this needs role {role}, {who.name} has {who.role}")
    return reasons
