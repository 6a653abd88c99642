"""What was compared of the two nodes, how far one is that goes on, and what differs: as page, API and CLI show it."""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

from monitoring.node_view import fresh_report
from orchestrator.core.requests import Kind, Request
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.verifying import Outcome, Verifying, summary
from orchestrator.core.wire import plain


def verification(s: Snapshot, elapsed_s: float) -> dict[str, Any]:
    """`running` and `last` are None while there is none; `differing` is what speaks against the standby now."""
    report = fresh_report(s, s.other(s.cluster.primary), elapsed_s) if s.cluster is not None else None
    running = report.verifying if report is not None else None
    ended: list[Verifying] = [one.value.verified for one in s.reports.values() if one.value.verified.outcome.ended]
    last = max(ended, key=lambda one: one.ended, default=None)
    return {
        "running": _shown(running) if running is not None and running.outcome is Outcome.RUNNING else None,
        "last": _shown(last) | {"text": summary(last)} if last else None,
        "differing": [plain(one) | {"text": str(one)} for one in (report.differing if report is not None else ())],
    }


def progress(snapshot: Snapshot, request: Request) -> dict[str, Any] | None:
    """How far a verification is, or how it ended; None for other operations, and before it began."""
    if request.kind is not Kind.VERIFY:
        return None
    if request.verified is not None:
        return _shown(request.verified)
    reports = (aged.value for aged in snapshot.reports.values())
    return next((_shown(one.verifying) for one in reports if one.verifying.id == request.id), None)


def progress_tag(resource: dict[str, Any]) -> str:
    """What changes whenever there is something new to be shown."""
    shown = resource["progress"]
    return f".{crc32(json.dumps(shown).encode()):08x}" if shown else ""


def _shown(one: Verifying) -> dict[str, Any]:
    shown: dict[str, Any] = plain(one) | {"share_percent": one.share_percent}
    return shown
