"""What would happen if the primary died now, and what a person should do next. Words only, from a snapshot."""

from __future__ import annotations

from typing import Any

from monitoring.return_view import persons_turn
from orchestrator.core.model import Mode
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.unreadable import HARMLESS

UNCLEAR = ("unknown", "blind", "split_suspected")


def risk(s: Snapshot, state: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """The outcome of losing the primary now; `automatic` is None where nobody can say."""
    if s.cluster is None or state in UNCLEAR:
        return {"text": "not known", "automatic": None}
    primary, standby = s.cluster.primary, s.other(s.cluster.primary)
    if state in ("failing_over", "no_primary"):
        return {"text": f"{primary} does not serve now", "automatic": None}
    row = next(row for row in nodes if row["name"] == standby)
    died = f"if {primary} died now:"
    if not row["promotable"]:
        why = "mode ASYNC: commits have no copy" if s.cluster.mode is Mode.ASYNC else row["not_promotable_because"]
        text = f"{died} no automatic failover to {standby} ({why}); writes stop until {primary} is back"
        return {"text": text, "automatic": False}
    unclear = next((one for one in s.unreadable if one.record not in HARMLESS), None)
    if s.paused or s.hold_down or unclear:
        held = f"{unclear.path} cannot be read" if unclear else "paused" if s.paused else "hold-down"
        return {"text": f"{died} no automatic failover ({held}); {standby} holds everything", "automatic": False}
    text = f"{died} {standby} takes over by itself, no acknowledged transaction is lost"
    return {"text": text, "automatic": True}


def next_step(s: Snapshot, state: str, nodes: list[dict[str, Any]]) -> dict[str, str]:
    """What a person should do, and the command for it; empty strings if nothing."""
    if not s.connected:
        text = f"{s.instance} does not reach ZooKeeper: see that most of its servers run. The pair goes on without us."
        return _step(text)
    if state == "split_suspected" and s.cluster:
        other = s.other(s.cluster.primary)
        return _step(f"The record names {s.cluster.primary} as primary. Stop mysqld on {other} by hand, now.")
    if s.unreadable:
        first = s.unreadable[0]
        return _step(f"{first.path} cannot be read ({first.why}): {first.remedy}")
    for row in nodes:
        if row["refusals"]:
            return _step(f"{row['name']} is refused: {row['refusals'][0]}")
        if row["errant"]:
            count = f"{row['errant']} transaction{'s' if row['errant'] > 1 else ''}"
            text = f"{row['name']} holds {count} that the primary never saw, and stays fenced: do not erase its data."
            return _step(text)
    if s.paused:
        return _step(f"Automatic failover is paused by {s.pause.actor}: {s.pause.reason}", "kembar resume")
    if s.waiting.startswith(("for ", "until ")):
        return _step(f"Waiting {s.waiting}")
    if not s.waiting and (turns := persons_turn(s)):
        return _step(turns[0]["text"], turns[0]["command"])
    return _step(s.waiting)


def _step(text: str, command: str = "") -> dict[str, str]:
    return {"text": text, "command": command}
