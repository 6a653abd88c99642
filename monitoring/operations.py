"""Changing calls of the API: each only puts a record, which the leader's tick obeys. Owns If-Match and idempotency."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitoring.audit import NOTE
from monitoring.auth import BACKEND, Caller, seen
from monitoring.backend import Backend
from monitoring.given import DAY_S, body_of, if_match, key_of, seconds
from monitoring.problems import Problem
from monitoring.queries import WaitQuery, query_of
from monitoring.verified import progress, progress_tag
from monitoring.view import OPEN_STATES
from orchestrator.core.access import AccessRole
from orchestrator.core.adoption import last_primary
from orchestrator.core.errors import StaleWrite, UnknownOutcome
from orchestrator.core.history import Incident
from orchestrator.core.model import Cluster, NodeName
from orchestrator.core.requests import CHOICES, OF_RETURNS, Admission, Kind, Pause, RejoinPath, Request
from orchestrator.core.runbooks import of_check, path_of
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import plain

WAIT_MAX_S = 60.0
LOOK_EVERY_S = 0.02  # at the snapshot in memory, which costs nobody anything
READ_EVERY_S = 0.5  # in ZooKeeper, for an operation that the snapshot does not hold
BESIDE_ALL = OF_RETURNS | {Kind.NOTE}
ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
TableName = Annotated[str, Field(max_length=130, pattern=r"^[^.]+\..+$")]  # schema.table


class OperationBody(BaseModel):
    """What `POST operations` takes."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal[
        "switchover", "failover", "adopt", "acknowledge", "verify",
        "reconcile_apply", "reconcile_discard", "reconcile_approve", "rejoin",
    ]  # fmt: skip
    to: str = Field(default="", max_length=64)  # empty: the node that is not primary; for adopt, that served last
    returning: int = Field(default=0, ge=0, lt=2**53)  # id of the return
    gtid: str = Field(default="", max_length=128)  # of the kept transaction
    seen: str = Field(default="", max_length=64)  # what its `seen` was when it was looked at
    edits: dict[str, dict[str, str | None]] = Field(default_factory=dict)  # row number -> column -> value
    path: Literal["auto", "clone"] = "auto"
    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")
    dry_run: bool = False
    tables: list[TableName] = Field(default=[], max_length=100)  # of verify; empty: everything

    @model_validator(mode="after")
    def _has_what_it_is_about(self) -> Self:
        kind = Kind(self.kind)
        if (self.returning > 0) != (kind in OF_RETURNS and kind is not Kind.REJOIN):
            raise ValueError(f"returning={self.returning}: {kind} needs the id of a return, others have none")
        if bool(self.gtid) != (kind in CHOICES):
            raise ValueError(f"gtid={self.gtid!r}: {kind} needs the number of a transaction, others have none")
        if self.edits and kind is not Kind.RECONCILE_APPLY:
            raise ValueError(f"edits: only reconcile_apply has values of its own, this is {kind}")
        if self.path != "auto" and kind is not Kind.REJOIN:
            raise ValueError(f"path={self.path}: only rejoin has one, this is {kind}")
        return self


class PauseBody(BaseModel):
    """What `PUT pause` takes."""

    model_config = ConfigDict(extra="forbid")
    for_: str = Field(default="1h", alias="for", pattern=r"^\d{1,6}[smhd]?$")  # 0: until resumed
    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


async def begin(request: web.Request) -> web.Response:
    """Put a request, or with `dry_run` answer its pre-checks and change nothing."""
    snapshot, who = seen(request, AccessRole.VIEWER)
    body = await body_of(request, OperationBody)
    _note(request, body)
    if body.dry_run:
        request[NOTE].kept = False
        return web.json_response(checked(request.app[BACKEND], snapshot, body, who))
    seen(request, role_for(Kind(body.kind)))
    return await put(request, body, if_match(request), key_of(request))


async def put(request: web.Request, body: OperationBody, seen_epoch: int, key: str) -> web.Response:
    """Put the request of a caller who looked at `seen_epoch`; the same key puts it once. Raises Problem."""
    _note(request, body)
    snapshot, who = seen(request, role_for(Kind(body.kind)))
    backend = request.app[BACKEND]
    wanted = _request(snapshot, body, who, key)
    request[NOTE].operation = wanted.id
    earlier = await asyncio.to_thread(backend.read_request, snapshot.name, wanted.id)
    if earlier is not None:
        return replay(snapshot, _as_asked(body, wanted, earlier), earlier)
    same_epoch(backend, snapshot, seen_epoch)
    _nothing_running(snapshot, wanted)
    admission = backend.dry_run(snapshot.name, wanted)
    if not admission.admitted:
        raise Problem(
            "precheck-failed",
            "; ".join(admission.failed),
            "resolve what failed, then ask again",
            failed_checks=list(admission.failed),
            checks=checks_view(admission),
        )
    return await _submit(backend, snapshot, body, wanted)


def _note(request: web.Request, body: OperationBody) -> None:
    note = request[NOTE]
    note.action, note.reason = f"{body.kind} {body.to or body.gtid}".strip(), body.reason.strip()


async def present(request: web.Request) -> web.Response:
    """The operations that are kept: those under way, and the last that have ended."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    return web.json_response({"operations": [operation(snapshot, one) for one in snapshot.requests.values()]})


async def follow(request: web.Request) -> web.Response:
    """One operation. `?wait=30s` answers when it has ended, or, given If-None-Match, when it has changed."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    backend, name, wanted = request.app[BACKEND], snapshot.name, request.match_info["id"]
    deadline = backend.now() + min(seconds(query_of(request, WaitQuery).wait), WAIT_MAX_S)
    known = {tag.value for tag in request.if_none_match or ()}
    while True:
        snapshot = backend.snapshots().get(name, snapshot)
        found = snapshot.requests.get(wanted)
        in_memory = found is not None
        if found is None:
            found = await asyncio.to_thread(backend.read_request, name, wanted) if ID.fullmatch(wanted) else None
        if found is None:
            raise Problem("not-found", f"{name} has no operation {wanted:.80}", "only the last ones are kept")
        resource = operation(snapshot, found)
        tag = f"{found.state}.{len(resource['phases'])}{progress_tag(resource)}"
        ended = found.state not in OPEN_STATES
        if ended or (known and tag not in known) or backend.now() >= deadline:
            response = web.json_response(resource)
            response.etag = tag
            return response
        await asyncio.sleep(LOOK_EVERY_S if in_memory else READ_EVERY_S)


async def pause(request: web.Request) -> web.Response:
    """No automatic failover begins from now on. Up to a day for an operator; without an end for an admin."""
    seen(request, AccessRole.OPERATOR)
    body = await body_of(request, PauseBody)
    return await put_pause(request, body, lambda: if_match(request))


async def put_pause(request: web.Request, body: PauseBody, seen_epoch: Callable[[], int]) -> web.Response:
    """Pause the pair for a caller who looked at `seen_epoch`. Raises Problem."""
    snapshot, who = seen(request, AccessRole.OPERATOR)
    request[NOTE].action, request[NOTE].reason = f"pause {body.for_}", body.reason.strip()
    for_s = seconds(body.for_)
    if (for_s == 0 or for_s > DAY_S) and not who.role.covers(AccessRole.ADMIN):
        raise Problem("forbidden", f"for={body.for_}: an operator pauses for 24h at most", "role admin may do more")
    return await _put_pause(request, snapshot, Pause(True, for_s, body.reason, who.name), seen_epoch())


async def resume(request: web.Request) -> web.Response:
    """Automatic failover may begin again."""
    return await put_resume(request, lambda: if_match(request))


async def put_resume(request: web.Request, seen_epoch: Callable[[], int]) -> web.Response:
    """End the pause for a caller who looked at `seen_epoch`. Raises Problem."""
    request[NOTE].action = "resume"
    snapshot, who = seen(request, AccessRole.OPERATOR)
    return await _put_pause(request, snapshot, Pause(active=False, for_s=0.0, actor=who.name), seen_epoch())


def checks_view(admission: Admission) -> list[dict[str, Any]]:
    """Every pre-check, with the runbook of each that failed."""
    return [plain(one) | {"runbook": "" if one.passed else path_of(of_check(one.name))} for one in admission.checks]


def role_for(kind: Kind) -> AccessRole:
    """Only an admin may accept that acknowledged data is lost, or say who is primary."""
    return AccessRole.ADMIN if kind in (Kind.FAILOVER, Kind.ADOPT) else AccessRole.OPERATOR


def operation(snapshot: Snapshot, request: Request) -> dict[str, Any]:
    """A request being carried out: the record, and the phases of the incident that it led to."""
    incident = _incident_of(snapshot, request)
    phases = plain(incident)["steps"] if incident else []
    total = {"total_ms": incident.total_ms, "outcome": incident.outcome} if incident else {}
    whole = {**plain(request), "ended": request.state not in OPEN_STATES, "phases": phases, **total}
    return whole | {"progress": progress(snapshot, request)}


def _incident_of(snapshot: Snapshot, request: Request) -> Incident | None:
    """The incident that was begun by this request."""
    return next((one for one in snapshot.incidents if one.cause == request.id), None)


async def _submit(backend: Backend, snapshot: Snapshot, body: OperationBody, wanted: Request) -> web.Response:
    try:
        await asyncio.to_thread(backend.submit, snapshot.name, wanted)
    except (StaleWrite, UnknownOutcome) as error:
        # Another may have been first with the same key, or our own write went through after all: read it back.
        earlier = await asyncio.to_thread(backend.read_request, snapshot.name, wanted.id)
        if earlier is not None:
            return replay(snapshot, _as_asked(body, wanted, earlier), earlier)
        if isinstance(error, UnknownOutcome):
            raise
        present = backend.snapshots().get(snapshot.name, snapshot)
        _nothing_running(present, wanted)
        raise _stale(backend, present, "the pair changed while this was asked") from None
    return accepted(snapshot, wanted)


def accepted(snapshot: Snapshot, request: Request) -> web.Response:
    """The answer to whoever put it."""
    location = f"/api/v1/clusters/{snapshot.name}/operations/{request.id}"
    return web.json_response(operation(snapshot, request), status=202, headers={"Location": location})


def _as_asked(body: OperationBody, wanted: Request, earlier: Request) -> Request:
    """Whoever names no node means the same one still, although by now another one would be meant."""
    return wanted if body.to else replace(wanted, to=earlier.to)


def replay(snapshot: Snapshot, wanted: Request, earlier: Request) -> web.Response:
    """The answer to whoever asks again. Raises Problem if the key was used for something else."""
    if _asked(wanted) != _asked(earlier):
        raise Problem(
            "idempotency-mismatch",
            "this Idempotency-Key was used for another request",
            "use a new key for a new request",
        )
    response = accepted(snapshot, earlier)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _asked(request: Request) -> dict[str, Any]:
    """What the same key must ask for again."""
    own = {"id", "actor", "epoch", "state", "answer", "failed_checks", "verified"}
    return {name: value for name, value in plain(request).items() if name not in own}


def checked(backend: Backend, snapshot: Snapshot, body: OperationBody, who: Caller) -> dict[str, Any]:
    """Every pre-check of what could be asked for, and what the last three took. Raises Problem without a record."""
    wanted = _request(snapshot, body, who, "dry-run")
    admission = backend.dry_run(snapshot.name, wanted)
    recent = [one.total_ms for one in snapshot.incidents if one.kind == wanted.kind and one.outcome == "ok"]
    answer = {"dry_run": True, "kind": wanted.kind, "to": wanted.to, "epoch": wanted.epoch}
    shown = {"admitted": admission.admitted, "checks": checks_view(admission), "last_three_ms": recent[:3]}
    return answer | shown


def _request(snapshot: Snapshot, body: OperationBody, who: Caller, key: str) -> Request:
    """The record to put; its id is the same for the same actor and key."""
    if snapshot.cluster is None:
        raise Problem("coordinator-unavailable", f"{snapshot.name} has no desired record yet")
    kind = Kind(body.kind)
    return Request(
        id=id_of(who, key),
        kind=kind,
        to=NodeName(body.to or _default_target(snapshot, snapshot.cluster, kind)),
        reason=body.reason.strip(),
        actor=who.name,
        epoch=snapshot.cluster.epoch,
        tables=tuple(body.tables),
        returning=body.returning,
        gtid=body.gtid,
        seen=body.seen,
        edits=body.edits,
        path=RejoinPath(body.path),
    )


def id_of(who: Caller, key: str) -> str:
    """Of the request that this caller puts with this key."""
    return hashlib.sha256(f"{who.name}\0{key}".encode()).hexdigest()[:32]


def _default_target(snapshot: Snapshot, cluster: Cluster, kind: Kind) -> NodeName:
    if kind is Kind.ADOPT:
        return last_primary([one.value for one in snapshot.reports.values()]) or cluster.primary
    return snapshot.other(cluster.primary)


async def _put_pause(request: web.Request, snapshot: Snapshot, wanted: Pause, seen_epoch: int) -> web.Response:
    backend = request.app[BACKEND]
    same_epoch(backend, snapshot, seen_epoch)
    try:
        await asyncio.to_thread(backend.put_pause, snapshot.name, wanted)
    except StaleWrite:
        raise _stale(backend, snapshot, "the pause was changed meanwhile") from None
    return web.json_response(plain(wanted))


def same_epoch(backend: Backend, snapshot: Snapshot, seen_epoch: int) -> None:
    """Raises Problem unless the epoch that was looked at is the present one."""
    present = snapshot.cluster.epoch if snapshot.cluster else -1
    if seen_epoch != present:
        raise _stale(backend, snapshot, f"you saw epoch {seen_epoch}, it is {present} now")


def _stale(backend: Backend, snapshot: Snapshot, detail: str) -> Problem:
    epoch = snapshot.cluster.epoch if snapshot.cluster else None
    hint = "look again, then ask again"
    return Problem("stale-epoch", detail, hint, epoch=epoch, present=backend.view(snapshot))


def _nothing_running(snapshot: Snapshot, wanted: Request) -> None:
    """One move of the primary at a time, and one verification beside it; what is decided about returns, and notes, hold
    up neither of them, nor are they held up."""
    for other in snapshot.requests.values():
        beside = (other.kind is Kind.VERIFY) != (wanted.kind is Kind.VERIFY) or {wanted.kind, other.kind} & BESIDE_ALL
        if other.state in OPEN_STATES and not beside:
            detail = f"{other.kind} to {other.to} by {other.actor} is {other.state}"
            raise Problem("operation-running", detail, "wait until it has ended", operation=other.id)
