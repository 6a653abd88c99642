"""Maintenance of one node in the API: kept in the policy, obeyed by the rules; in force once it is nobody's heir."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from monitoring.audit import NOTE
from monitoring.auth import BACKEND, seen
from monitoring.given import body_of, if_match
from monitoring.node_view import maintenance_view
from monitoring.operations import same_epoch
from monitoring.problems import Problem
from orchestrator.core.access import AccessRole
from orchestrator.core.errors import StaleWrite
from orchestrator.core.mergepolicy import Changed
from orchestrator.core.model import NodeName, Policy
from orchestrator.core.snapshot import Snapshot


class MaintenanceBody(BaseModel):
    """What `PUT maintenance` takes."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


async def show(request: web.Request) -> web.Response:
    """Whether the node is under maintenance, and whether nothing promotes it any more."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    return _answer(snapshot, _node(request.match_info["node"], snapshot))


async def begin(request: web.Request) -> web.Response:
    """The node is not promoted any more; wait for `in_force` before it is stopped. Never the primary."""
    seen(request, AccessRole.OPERATOR)
    body = await body_of(request, MaintenanceBody)
    return await put_on(request, request.match_info["node"], body, lambda: if_match(request))


async def put_on(request: web.Request, name: str, body: MaintenanceBody, seen_epoch: Callable[[], int]) -> web.Response:
    """Keep a node from promotion, for a caller who looked at `seen_epoch`. Raises Problem."""
    snapshot, who = seen(request, AccessRole.OPERATOR)
    node = _node(name, snapshot)
    request[NOTE].action, request[NOTE].reason = f"maintenance on {node}", body.reason.strip()
    same_epoch(request.app[BACKEND], snapshot, seen_epoch())
    if snapshot.cluster is not None and snapshot.cluster.primary == node:
        detail = f"{node} is the primary"
        raise Problem(
            "precheck-failed", detail, f"kembar switchover --to {snapshot.other(node)} --reason TEXT, then again",
            failed_checks=[f"primary: {detail}"],
        )  # fmt: skip
    why = Changed(who.name, body.reason.strip())
    return await _put(request, snapshot, node, why)


async def end(request: web.Request) -> web.Response:
    """The node is certified again as soon as it holds everything."""
    return await put_off(request, request.match_info["node"], lambda: if_match(request))


async def put_off(request: web.Request, name: str, seen_epoch: Callable[[], int]) -> web.Response:
    """End it, for a caller who looked at `seen_epoch`. Raises Problem."""
    snapshot, _ = seen(request, AccessRole.OPERATOR)
    node = _node(name, snapshot)
    request[NOTE].action = f"maintenance off {node}"
    same_epoch(request.app[BACKEND], snapshot, seen_epoch())
    return await _put(request, snapshot, node, None)


def _node(name: str, snapshot: Snapshot) -> NodeName:
    if name not in snapshot.pair:
        raise Problem("not-found", f"{snapshot.name} has no node {name:.80}", f"it has {' and '.join(snapshot.pair)}")
    return NodeName(name)


async def _put(request: web.Request, snapshot: Snapshot, node: NodeName, why: Changed | None) -> web.Response:
    backend = request.app[BACKEND]
    policy, version = await asyncio.to_thread(backend.read_policy, snapshot.name)
    try:
        await asyncio.to_thread(backend.put_policy, snapshot.name, _with(policy, node, why), version)
    except StaleWrite as error:
        raise Problem("stale-policy", f"the policy was changed meanwhile: {error}", "look again, ask again") from None
    # Our own mirror may not show it yet: what was put is certain, whether it is in force is not.
    present = backend.snapshots().get(snapshot.name, snapshot)
    return _answer(replace(present, policy=_with(present.policy, node, why)), node)


def _with(policy: Policy, node: NodeName, why: Changed | None) -> Policy:
    others = tuple(one for one in policy.maintenance if one != node)
    reasons = {name: one for name, one in policy.maintained.items() if name != node}
    if why is None:
        return replace(policy, maintenance=others, maintained=reasons)
    return replace(policy, maintenance=(*others, node), maintained={**reasons, node: why})


def _answer(snapshot: Snapshot, node: NodeName) -> web.Response:
    shown = maintenance_view(snapshot, node)
    found = shown or {"actor": "", "reason": "", "in_force": False}
    return web.json_response({"node": node, "active": shown is not None, **found})
