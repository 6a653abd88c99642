"""Actions from the page, without JavaScript: GET shows the pre-checks and asks for the reason, POST acts."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from monitoring.actions import held_back, judged
from monitoring.audit import NOTE
from monitoring.auth import BACKEND, Caller, form_token, seen
from monitoring.backend import Backend
from monitoring.given import epoch_of, fitting, form_of, key_in
from monitoring.maintenance import MaintenanceBody, put_off, put_on
from monitoring.operations import OperationBody, PauseBody, put, put_pause, put_resume
from monitoring.problems import Problem
from monitoring.rendering import html
from orchestrator.core.access import AccessRole
from orchestrator.core.snapshot import Snapshot

ABOUT = ("to", "returning", "gtid", "seen")  # what an action is about: from the link to it, through the form


@dataclass(frozen=True, slots=True)
class Form:
    """One action in words. `typed`: what has to be typed before it is done: nothing, node or cluster."""

    title: str
    says: str
    button: str
    typed: str = ""


FORMS: Mapping[str, Form] = {
    "switchover": Form("Switchover", "Moves the primary and the VIP to the standby. Nothing is lost.", "Switch over"),
    "failover": Form(
        "Forced failover",
        "Promotes a node that is not proven to hold everything. What only the other node has may be lost.",
        "Force the failover",
        "node",
    ),
    "adopt": Form(
        "Adopt the running roles",
        "Only after ZooKeeper lost its data: the roles that the agents remember are recorded in a later epoch.",
        "Adopt",
        "cluster",
    ),
    "acknowledge": Form("Acknowledge", "Ends a hold-down: automatic failover may begin again.", "Acknowledge"),
    "verify": Form("Verify", "Compares the standby's data with the primary's, throttled.", "Verify"),
    "rejoin": Form("Rejoin", "A return that stopped goes on, or the standby is made anew by a copy.", "Rejoin"),
    "reconcile_apply": Form("Apply a kept transaction", "It is brought to the primary under its own GTID.", "Apply"),
    "reconcile_discard": Form("Discard a kept transaction", "The primary's rows stay as they are.", "Discard"),
    "reconcile_approve": Form("Approve a merge", "A merge beyond the limits goes on.", "Approve"),
    "pause": Form("Pause", "No automatic failover begins. What has begun is finished.", "Pause"),
    "resume": Form("Resume", "Automatic failover may begin again.", "Resume"),
    "maintenance_on": Form("Maintenance", "Nothing promotes this node while it is worked on.", "Begin maintenance"),
    "maintenance_off": Form("End maintenance", "The node is certified again once it holds everything.", "End it"),
}
WITHOUT_REASON = ("resume", "maintenance_off")
PLACES = (
    (r"kembar resume", r"actions/resume"),
    (r"kembar ack", r"actions/acknowledge"),
    (r"kembar rejoin", r"actions/rejoin"),
    (r"kembar maintenance off (\S+)", r"actions/maintenance_off?to=\1"),
    (r"kembar reconcile show (\d+)", r"reconcile/\1"),
    (r"kembar reconcile apply (\d+) --reason", r"actions/reconcile_approve?returning=\1"),
)
PATH = "/c/{cluster}/actions/{kind}"


def routes() -> list[web.RouteDef]:
    """The same path for both."""
    return [web.get(PATH, ask), web.post(PATH, act)]


async def ask(request: web.Request) -> web.Response:
    """The pre-checks of an action, and its form."""
    snapshot, who = seen(request, AccessRole.VIEWER)
    kind, form = _form(request)
    about = {name: request.query[name] for name in ABOUT if request.query.get(name)}
    backend = request.app[BACKEND]
    if kind in DIRECT:
        action = direct(backend, snapshot, who, kind, about.get("to", ""))
    else:
        action = judged(backend, snapshot, _body(kind, {**about, "reason": "what if"}), who)
    return html(
        "action.html.j2",
        cluster=snapshot.name,
        verdict=backend.view(snapshot),
        kind=kind,
        form=form,
        action=action,
        about={"to": action["to"], **about},
        expected=_expected(form, snapshot, str(action["to"])),
        key=secrets.token_hex(16),
        csrf=form_token(request),
        reason=kind not in WITHOUT_REASON,
    )


async def act(request: web.Request) -> web.Response:
    """Ask the leader for it; then the page, which shows how it goes on."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    kind, form = _form(request)
    posted = await form_of(request)
    expected = _expected(form, snapshot, posted.get("to", ""))
    if posted.get("typed", "").strip() != expected or (form.typed and not expected):
        wanted = repr(expected) if expected else "the name of a node"
        raise Problem("invalid-request", f"type {wanted} to confirm", "nothing was changed")
    epoch = epoch_of(posted.get("epoch", ""))
    path = f"/c/{snapshot.name}"
    if kind in DIRECT:
        await DIRECT[kind](request, posted, lambda: epoch)
        return _on(path)
    body = _body(kind, {name: posted[name] for name in (*ABOUT, "path", "reason") if name in posted})
    answer = await put(request, body, epoch, key_in(posted.get("key")))
    request[NOTE].accepted = True
    response = _on(f"{path}?operation={request[NOTE].operation}#asked")
    if "Idempotency-Replayed" in answer.headers:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def place_of(cluster: str, command: str) -> str:
    """Where a page offers what that command does; empty if none does."""
    for pattern, path in PLACES:
        if found := re.match(pattern, command):
            return f"/c/{cluster}/{found.expand(path)}"
    return ""


def _form(request: web.Request) -> tuple[str, Form]:
    kind = request.match_info["kind"]
    if kind not in FORMS:
        raise Problem("not-found", f"there is no action {kind!r:.80}", f"known: {', '.join(FORMS)}")
    return kind, FORMS[kind]


def direct(backend: Backend, snapshot: Snapshot, who: Caller, kind: str, to: str) -> dict[str, Any]:
    """What can be said of an action that is no operation: the record itself is written at once."""
    reasons = held_back(backend, snapshot, who, AccessRole.OPERATOR)
    if kind == "resume" and not snapshot.paused:
        reasons.append("nothing is paused")
    if kind == "maintenance_on" and snapshot.cluster is not None and snapshot.cluster.primary == to:
        reasons.append(f"{to} is the primary: switch over first")
    if kind == "maintenance_off" and to not in snapshot.policy.maintenance:
        reasons.append(f"{to} is not under maintenance")
    epoch = snapshot.cluster.epoch if snapshot.cluster else None
    return {"kind": kind, "to": to, "epoch": epoch, "checks": [], "enabled": not reasons, "disabled_reasons": reasons}


async def _pause(request: web.Request, posted: Mapping[str, str], seen_epoch: Callable[[], int]) -> None:
    fields = {"for": posted.get("for", ""), "reason": posted.get("reason", "")}
    await put_pause(request, fitting(lambda: PauseBody.model_validate(fields)), seen_epoch)


async def _resume(request: web.Request, posted: Mapping[str, str], seen_epoch: Callable[[], int]) -> None:
    await put_resume(request, seen_epoch)


async def _maintenance_on(request: web.Request, posted: Mapping[str, str], seen_epoch: Callable[[], int]) -> None:
    body = fitting(lambda: MaintenanceBody.model_validate({"reason": posted.get("reason", "")}))
    await put_on(request, posted.get("to", ""), body, seen_epoch)


async def _maintenance_off(request: web.Request, posted: Mapping[str, str], seen_epoch: Callable[[], int]) -> None:
    await put_off(request, posted.get("to", ""), seen_epoch)


Direct = Callable[[web.Request, Mapping[str, str], Callable[[], int]], Awaitable[None]]
DIRECT: Mapping[str, Direct] = {
    "pause": _pause,
    "resume": _resume,
    "maintenance_on": _maintenance_on,
    "maintenance_off": _maintenance_off,
}


def _body(kind: str, fields: Mapping[str, str]) -> OperationBody:
    return fitting(lambda: OperationBody.model_validate({"kind": kind, **fields}))


def _expected(form: Form, snapshot: Snapshot, to: str) -> str:
    return {"": "", "node": to, "cluster": snapshot.name}[form.typed]


def _on(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})
