"""A snapshot in words: verdict, risk, next step, and the rows below them. What page, API and CLI show alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitoring.advice import next_step, risk
from monitoring.node_view import blind, fresh_lease, fresh_report, node_view
from monitoring.readiness_view import readiness_view
from monitoring.return_view import returns_view
from monitoring.verified import verification
from monitoring.wording import incident_text, loss_text, request_text
from orchestrator.core.analysis import Finding
from orchestrator.core.model import LeaseState, NodeName, Phase, Report
from orchestrator.core.requests import RequestState
from orchestrator.core.runbooks import of_finding, path_of
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.unreadable import HARMLESS
from orchestrator.core.wire import plain

# The states of a cluster, worst first, and the mark that stands beside the word.
MARKS: Mapping[str, str] = {
    "split_suspected": "!!",
    "no_primary": "x",
    "failing_over": ">>",
    "blind": "?",
    "unknown": "?",
    "degraded": "!",
    "healthy": "ok",
}
STATES = tuple(MARKS)
OPEN_STATES = (RequestState.REQUESTED, RequestState.RUNNING)
INCIDENTS_SHOWN, EVENTS_SHOWN = 20, 50


def view(s: Snapshot, elapsed_s: float, at: str, hardware: str = "") -> dict[str, Any]:
    """The whole view as plain values, ready for JSON.

    `elapsed_s`: since the snapshot was taken; `at`: UTC now, for people; `hardware`: who answers for the VIP, as the
    kernel of this orchestrator knows it, empty if it does not. A snapshot that is stale is never healthy.
    """
    nodes = [node_view(s, node, elapsed_s) for node in s.pair]
    state, verdict = _verdict(s, elapsed_s, at)
    cluster = s.cluster
    return {
        "cluster": s.name,
        "at": at,
        "state": state,
        "mark": MARKS[state],
        "verdict": verdict,
        "writes": _writes(s, elapsed_s),
        "primary": cluster.primary if cluster else None,
        "standby": s.other(cluster.primary) if cluster else None,
        "mode": str(cluster.mode) if cluster else None,
        "phase": str(cluster.phase) if cluster else None,
        "epoch": cluster.epoch if cluster else None,
        "seq": cluster.seq if cluster else None,
        "preferred": s.policy.preferred or None,
        "rule": cluster.rule if cluster else None,
        "vip": _vip(s, elapsed_s, hardware),
        "auto_failover": _auto_failover(s),
        "pause": {**plain(s.pause), "active": s.paused, "left_s": s.pause_left_s} if s.paused else None,
        "unreadable": [
            {"record": str(one.record), "path": one.path, "why": one.why, "next": one.remedy} for one in s.unreadable
        ],
        "finding": {"name": s.finding, "text": s.finding_text, "runbook": path_of(of_finding(s.finding))},
        "waiting": s.waiting,
        "risk": risk(s, state, nodes),
        "readiness": readiness_view(s, elapsed_s),
        "next": next_step(s, state, nodes),
        "nodes": nodes,
        "clock_offsets_s": dict(s.clock_offsets_s),
        "zookeeper": {"connected": s.connected},
        "orchestrator": {"instance": s.instance, "leader": s.leader or None},
        "data": {"age_s": round(s.age_s + elapsed_s, 3), "stale": blind(s, elapsed_s)},
        "verification": verification(s, elapsed_s),
        "operations": [
            plain(request) | {"text": request_text(request)}
            for request in s.requests.values()
            if request.state in OPEN_STATES
        ],
        "returns": returns_view(s),
        "last_incident": plain(s.incident) | {"text": incident_text(s.incident), "loss": loss_text(s.incident)}
        if s.incident
        else None,
        "incidents": [plain(one) | {"text": incident_text(one)} for one in s.incidents[:INCIDENTS_SHOWN]],
        "events": [{"id": n, **plain(s.events[n])} for n in sorted(s.events, reverse=True)[:EVENTS_SHOWN]],
    }


def _auto_failover(s: Snapshot) -> str:
    """Whether a failover would begin by itself: on, or what keeps it from it."""
    if s.paused or s.hold_down:
        return "paused" if s.paused else "hold-down"
    if s.cluster is not None and not s.leader:
        return "no leader"
    return "on" if all(one.record in HARMLESS for one in s.unreadable) else "unreadable"


def _writes(s: Snapshot, elapsed_s: float) -> str:
    """Whether clients can write: ok, stalled, no, unknown."""
    if s.cluster is None or blind(s, elapsed_s):
        return "unknown"
    primary = s.cluster.primary
    lease, report = fresh_lease(s, primary, elapsed_s), fresh_report(s, primary, elapsed_s)
    if lease is None or lease.state is not LeaseState.HELD or not lease.gate_open or lease.epoch != s.cluster.epoch:
        return "no"
    # The lease says that the gate is open, and moves faster than the report, which alone knows of writability.
    if report is None:
        return "unknown"
    if s.finding == Finding.SYNC_STALLED or _locked(report):
        return "stalled"
    return "ok" if report.writable else "no"


def _locked(report: Report) -> str:
    """What a client does that stops every commit, as the primary's agent says; empty if none does."""
    return "a client's lock" if any(one.startswith("CLIENT_LOCK") for one in report.troubles) else ""


def _verdict(s: Snapshot, elapsed_s: float, at: str) -> tuple[str, str]:
    """State and sentence; with a record that cannot be read nothing is healthy."""
    state, verdict = _readable_verdict(s, elapsed_s, at)
    if not s.unreadable or blind(s, elapsed_s):
        return state, verdict
    paths = ", ".join(one.path for one in s.unreadable)
    return "degraded" if state == "healthy" else state, f"{verdict}; {paths} cannot be read"


def _readable_verdict(s: Snapshot, elapsed_s: float, at: str) -> tuple[str, str]:
    """State and sentence, most alarming first."""
    if blind(s, elapsed_s):
        why = "data is not refreshed" if s.connected else "no connection to ZooKeeper"
        return "unknown", f"unknown since {_earlier(at, s.age_s + elapsed_s)}: {why}"
    if s.cluster is None:
        unknown = "who is primary is not known" if s.unreadable else "nobody has been made primary"
        return "unknown", f"no desired record yet: {unknown}"
    if s.finding == Finding.TWO_WRITERS:
        return "split_suspected", f"{s.pair[0]} and {s.pair[1]} both report that they take writes"
    if s.finding == Finding.BLIND:
        return "blind", "no node is heard: nothing is changed until one is"
    return _settled_verdict(s, s.cluster.primary, s.cluster.phase, elapsed_s)


def _earlier(at: str, seconds: float) -> str:
    """The time of day so long before `at` (ISO 8601, UTC), which does not change while that is shown."""
    hours, minutes, rest = at[11:].rstrip("Z").split(":")
    of_day = int(3600 * int(hours) + 60 * int(minutes) + float(rest) - seconds) % 86400
    return f"{of_day // 3600:02}:{of_day // 60 % 60:02}:{of_day % 60:02}Z"


def _settled_verdict(s: Snapshot, primary: NodeName, phase: Phase, elapsed_s: float) -> tuple[str, str]:
    standby, writes = s.other(primary), _writes(s, elapsed_s)
    where = f"{primary} (VIP {s.vip})"
    if phase in (Phase.FENCING, Phase.PROMOTING):
        return "failing_over", f"failover from {standby} to {primary} is in progress, writes are stopped"
    if phase is Phase.SWITCHING:
        return "failing_over", f"switchover from {primary} to {standby} is in progress"
    match writes:
        case "no":
            return "no_primary", f"no writes: {primary} does not serve"
        case "unknown":
            return "unknown", f"unknown: {primary} holds the lease, but its facts are old"
        case "stalled":
            report = fresh_report(s, primary, elapsed_s)
            return "degraded", f"commits on {where} wait for {(report and _locked(report)) or standby}"
    standby_row = node_view(s, standby, elapsed_s)
    if standby_row["promotable"]:
        return "healthy", f"writes OK on {where}, {standby} is ready to take over"
    return "degraded", f"writes OK on {where}, no standby ({standby}: {standby_row['not_promotable_because']})"


def _vip(s: Snapshot, elapsed_s: float, hardware: str) -> dict[str, Any]:
    """Who holds the VIP: by the agents' reports, by ZooKeeper, and by who answers for it on the network."""
    reports = {node: fresh_report(s, node, elapsed_s) for node in s.pair}
    holders = [node for node, report in reports.items() if report and report.has_address and report.gate_open]
    leases = {node: fresh_lease(s, node, elapsed_s) for node in s.pair}
    by_lease = [node for node, lease in leases.items() if lease and lease.state is LeaseState.HELD and lease.gate_open]
    return {
        "address": s.vip,
        "holder": holders[0] if len(holders) == 1 else None,
        "disputed": len(holders) > 1,
        "agents": holders,
        "zookeeper": by_lease[0] if by_lease else None,
        "arp": _answerer(s, hardware),
    }


def _answerer(s: Snapshot, hardware: str) -> dict[str, Any]:
    """Whose hardware address that is. `foreign`: neither node's, and both are known."""
    known = {node: aged.value.host.hardware for node, aged in s.reports.items()}
    node = next((node for node, own in known.items() if hardware and own == hardware), None)
    foreign = bool(hardware) and node is None and all(known.get(one) for one in s.pair)
    return {"hardware": hardware, "node": node, "foreign": foreign}
