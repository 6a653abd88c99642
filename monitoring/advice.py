"""What would happen if the primary died now, and what a person should do next. Words only, from a snapshot."""

from __future__ import annotations

from typing import Any

from monitoring.return_view import persons_turn
from orchestrator.core.model import Mode
from orchestrator.core.returning import Stage
from orchestrator.core.runbooks import of_alert, of_finding, of_problem, of_return, path_of
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
    if held := _held(s):
        return {"text": f"{died} no automatic failover ({held}); {standby} holds everything", "automatic": False}
    text = f"{died} {standby} takes over by itself, no acknowledged transaction is lost"
    return {"text": text, "automatic": True}


def _held(s: Snapshot) -> str:
    """What keeps a failover from beginning by itself; empty: nothing."""
    unclear = next((one for one in s.unreadable if one.record not in HARMLESS), None)
    if unclear:
        return f"{unclear.path} cannot be read"
    if s.paused or s.hold_down:
        return "paused" if s.paused else "hold-down"
    return "" if s.leader else "no orchestrator leads"


def next_step(s: Snapshot, state: str, nodes: list[dict[str, Any]]) -> dict[str, str]:
    """What a person should do, and the command for it; empty strings if nothing."""
    if not s.connected:
        text = f"{s.instance} does not reach ZooKeeper: see that most of its servers run. The pair goes on without us."
        return _step(text, runbook=of_problem("coordinator-unavailable"))
    if state == "split_suspected" and s.cluster:
        other = s.other(s.cluster.primary)
        return _step(
            f"The record names {s.cluster.primary} as primary. Stop mysqld on {other} by hand, now.",
            runbook=of_finding(s.finding),
        )
    if s.unreadable:
        first = s.unreadable[0]
        return _step(
            f"{first.path} cannot be read ({first.why}): {first.remedy}", runbook=of_alert("record_unreadable")
        )
    for row in nodes:
        if row["refusals"]:
            return _step(f"{row['name']} is refused: {row['refusals'][0]}", runbook=of_alert("node_refused"))
        if row["errant"]:
            count = f"{row['errant']} transaction{'s' if row['errant'] > 1 else ''}"
            text = f"{row['name']} holds {count} that the primary never saw, and stays fenced: do not erase its data."
            return _step(text, runbook=of_alert("standby_errant"))
    if s.paused:
        return _step(
            f"Automatic failover is paused by {s.pause.actor}: {s.pause.reason}", "kembar resume", of_alert("paused")
        )
    for row in nodes:
        if row["maintenance"]:
            text = (
                f"{row['name']} is under maintenance by {row['maintenance']['actor']}: {row['maintenance']['reason']}"
            )
            return _step(text, f"kembar maintenance off {row['name']}", "check-maintenance")
    if s.waiting.startswith(("for ", "until ")):
        return _step(f"Waiting {s.waiting}", runbook=_of_wait(s))
    if not s.waiting and (turns := persons_turn(s)):
        return turns[0]
    return _step(s.waiting, runbook=_of_wait(s))


def _of_wait(s: Snapshot) -> str:
    """Of a wait that only a person ends; a move under way needs none."""
    record = s.returning
    if record is not None and record.open:
        return of_return(record.stopped) if record.stage is Stage.STOPPED else ""
    return of_alert("hold_down") if s.hold_down else of_finding(s.finding)


def _step(text: str, command: str = "", runbook: str = "") -> dict[str, str]:
    return {"text": text, "command": command, "runbook": path_of(runbook)}
