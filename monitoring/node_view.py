"""One node of a snapshot as the row that page, API and CLI show. Owns no judgement of the pair."""

from __future__ import annotations

from typing import Any

from orchestrator.core.gtid import GtidSet
from orchestrator.core.mergepolicy import Changed
from orchestrator.core.model import Lease, LeaseState, NodeName, Report, goal_for
from orchestrator.core.readiness import count, obstacles, receiver
from orchestrator.core.runbooks import of_alert, of_trouble, path_of
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import plain


def blind(s: Snapshot, elapsed_s: float) -> bool:
    """Whether what we hold may be long past: not connected, or the tick that takes snapshots has stopped."""
    return not s.connected or s.stale(s.age_s + elapsed_s)


def fresh_report(s: Snapshot, node: NodeName, elapsed_s: float) -> Report | None:
    """The node's report if it still says something about the present. `elapsed_s`: since the snapshot was taken."""
    aged = s.reports.get(node)
    return aged.value if aged and not s.stale(aged.age_s + elapsed_s) else None


def fresh_lease(s: Snapshot, node: NodeName, elapsed_s: float) -> Lease | None:
    """The node's lease if its holder can still act on it, or if it is no longer held."""
    aged = s.leases.get(node)
    if aged is None:
        return None
    still = aged.value.state is not LeaseState.HELD or aged.age_s + elapsed_s < aged.value.timing.authorised_s
    return aged.value if still else None


def node_view(s: Snapshot, node: NodeName, elapsed_s: float) -> dict[str, Any]:
    """One node as plain values. What is not known is None; what an agent said stands there with its age."""
    aged = s.reports.get(node)
    last = aged.value if aged else Report(node)
    report, lease = fresh_report(s, node, elapsed_s), fresh_lease(s, node, elapsed_s)
    role = goal_for(node, s.cluster).role if s.cluster else None
    return {
        "name": node,
        "role": str(role) if role and report else "unknown",
        "told": str(role) if role else None,
        "seen_s": round(aged.age_s + elapsed_s, 3) if aged else None,
        "stale": report is None,
        "mysqld": str(last.mysqld) if aged else None,
        "mysql_version": last.host.mysql_version or None,
        "receiver": receiver(last) if aged else None,
        "received_age_s": round(last.received_age_s + elapsed_s, 3) if last.receiver_connected else None,
        "backlog": last.backlog_transactions if aged else None,
        "applier_error": last.applier_error or None,
        "writable": last.writable if aged else None,
        "missing": _missing(s, node),
        "errant": count(last.errant) if aged else None,
        "errant_set": last.errant,
        "has_address": last.has_address if aged else None,
        "gate_open": lease.gate_open
        if lease and lease.state is LeaseState.HELD
        else (last.gate_open if aged else None),
        "lease": str(lease.state) if lease else "expired",
        "promotable": _promotable(s, node, report),
        "not_promotable_because": _why_not(s, node, report),
        "semi_sync": str(s.syncs[node].value.state) if node in s.syncs else None,
        "lease_margins": plain(last.margins),
        "troubles": list(last.troubles),
        "refusals": list(last.refusals),
        "runbooks": _runbooks(last),
        "maintenance": maintenance_view(s, node),
        "host": plain(last.host),
        "clock_offset_s": s.clock_offsets_s.get(node),
    }


def maintenance_view(s: Snapshot, node: NodeName) -> dict[str, Any] | None:
    """By whom, why, and whether it is in force: the record names another heir or none. None: the node may take over."""
    if node not in s.policy.maintenance:
        return None
    why = s.policy.maintained.get(node, Changed())
    heir = s.cluster is None or s.cluster.primary == node
    certified = s.cluster is not None and s.cluster.promotable is not None and s.cluster.promotable.node == node
    return {"actor": why.actor, "reason": why.reason, "in_force": not heir and not certified}


def _runbooks(report: Report) -> list[str]:
    """Of all that an agent says is wrong with its node, each once."""
    found = [of_trouble(one) for one in report.troubles]
    if report.refusals:
        found.insert(0, of_alert("node_refused"))
    if report.applier_error:
        found.append(of_alert("applier_stopped"))
    return [path_of(one) for one in dict.fromkeys(found)]


def _promotable(s: Snapshot, node: NodeName, report: Report | None) -> bool | None:
    if s.cluster is None or node == s.cluster.primary:
        return None
    return _why_not(s, node, report) is None


def _why_not(s: Snapshot, node: NodeName, report: Report | None) -> str | None:
    """The first obstacle to its promotion, shortest words first; None for the primary and for a promotable standby."""
    if s.cluster is None or node == s.cluster.primary:
        return None
    return next(iter(obstacles(node, s.cluster, s.policy, report)), None)


def _missing(s: Snapshot, node: NodeName) -> int | None:
    """How many transactions the primary's last report has and the node's has not; both reports have their own age."""
    if s.cluster is None or node not in s.reports or s.cluster.primary not in s.reports:
        return None
    try:
        primary = GtidSet.parse(s.reports[s.cluster.primary].value.executed)
        return len(primary - GtidSet.parse(s.reports[node].value.executed))
    except ValueError:
        return None
