"""What an admin may change of the policy, in the API: read with its version, changed in part at that version."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitoring.audit import NOTE
from monitoring.auth import BACKEND, seen
from monitoring.given import body_of
from monitoring.policy import kept, version_of
from monitoring.problems import invalid
from orchestrator.core.access import AccessRole
from orchestrator.core.mergepolicy import Changed, MergePolicy
from orchestrator.core.model import Policy
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import plain

FIXED = ("profile", "timing", "stall_s", "hang_s", "report_every_s", "silent_after_s", "switchover_s", "maintenance")


class Settings(BaseModel):
    """Those that may be changed while the pair works; all others stand in the files of every daemon alike."""

    model_config = ConfigDict(extra="forbid")
    preferred: str = Field(max_length=64)  # a node, or empty
    failovers_per_hour_max: int = Field(ge=0, le=1000)
    backlog_transactions_max: int = Field(ge=1, le=2**31)
    reconcile: MergePolicy


class SettingsBody(BaseModel):
    """What `PATCH config` takes: `set` is a JSON merge patch of what GET shows."""

    model_config = ConfigDict(extra="forbid")
    set: dict[str, Any] = Field(min_length=1, max_length=len(Settings.model_fields))
    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")
    dry_run: bool = False


async def show(request: web.Request) -> web.Response:
    """What may be changed, and what is in force beside it; the ETag is the version of the record."""
    snapshot, _ = seen(request, AccessRole.VIEWER)
    policy, version = await asyncio.to_thread(request.app[BACKEND].read_policy, snapshot.name)
    return _answer(policy, version)


async def change(request: web.Request) -> web.Response:
    """The settings with what is in `set`; with `dry_run` only as they would be."""
    snapshot, who = seen(request, AccessRole.ADMIN)
    body = await body_of(request, SettingsBody)
    note, reason = request[NOTE], body.reason.strip()
    note.action, note.reason = f"config {', '.join(sorted(body.set))}"[:200], reason
    note.kept = not body.dry_run
    backend, expected = request.app[BACKEND], version_of(request)
    policy, version = await asyncio.to_thread(backend.read_policy, snapshot.name)
    wanted = _patched(snapshot, policy, body.set)
    wanted = replace(wanted, changed=Changed(who.name, reason))
    return _answer(wanted, await kept(backend, snapshot.name, wanted, version, expected, dry_run=body.dry_run))


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396): null takes a key away, which gives it its default."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def _patched(snapshot: Snapshot, policy: Policy, patch: dict[str, Any]) -> Policy:
    """Raises Problem with every mistake."""
    present = {name: plain(getattr(policy, name)) for name in Settings.model_fields}
    defaults = {name: plain(getattr(Policy(), name)) for name in Settings.model_fields}
    try:
        found = Settings.model_validate({**defaults, **merged(present, patch)})
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        raise invalid([("/set/" + "/".join(map(str, one["loc"])), one["msg"]) for one in mistakes]) from None
    if found.preferred not in ("", *snapshot.pair):
        raise invalid([("/set/preferred", f"{found.preferred:.64} is none of {', '.join(snapshot.pair)}")])
    return replace(policy, **{name: getattr(found, name) for name in Settings.model_fields})


def _answer(policy: Policy, version: int) -> web.Response:
    shown = {name: plain(getattr(policy, name)) for name in (*Settings.model_fields, "changed")}
    response = web.json_response(shown | {"fixed": {name: plain(getattr(policy, name)) for name in FIXED}})
    response.etag = str(version)
    return response
