"""Every pre-check of an operator's request, passed or not, with what unblocks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from orchestrator.core.adoption import forgotten, last_primary
from orchestrator.core.analysis import record_old
from orchestrator.core.invariants import unreturned
from orchestrator.core.model import NodeName, Phase, Report
from orchestrator.core.requests import Admission, Kind, PreCheck, Request
from orchestrator.core.return_checks import RETURN_CHECKS
from orchestrator.core.situation import Situation
from orchestrator.core.unreadable import HARMLESS, Record, Unreadable
from orchestrator.core.verification import checks as verify_checks

TRANSACTION_AGE_MAX_S = 10.0


def admit(request: Request, s: Situation) -> Admission:
    """All checks for `request` in this situation; none is skipped, so that a person sees every obstacle at once."""
    checks = (_epoch(request, s), _records(request, s), *OWN_CHECKS[request.kind](request, s))
    return Admission(tuple(replace(check, detail="") if check.passed else check for check in checks))


def _epoch(request: Request, s: Situation) -> PreCheck:
    return PreCheck(
        "epoch",
        request.epoch == s.cluster.epoch,
        f"asked for in epoch {request.epoch}, the pair is in {s.cluster.epoch}: look again, then ask again",
    )


def _records(request: Request, s: Situation) -> PreCheck:
    """A planned move needs them all; a forced one the desired record, and the lease that it takes away."""
    found = [one for one in s.unreadable if NEEDS[request.kind](one, request, s)]
    return PreCheck("records", not found, "; ".join(f"{one.path} cannot be read: {one.remedy}" for one in found))


def _taken_away(one: Unreadable, request: Request, s: Situation) -> bool:
    return one.record is Record.DESIRED or (one.record is Record.LEASE and one.node == s.other(request.to))


NEEDS: Mapping[Kind, Callable[[Unreadable, Request, Situation], bool]] = {
    Kind.SWITCHOVER: lambda one, request, s: one.record not in HARMLESS,
    Kind.FAILOVER: _taken_away,
    Kind.ADOPT: _taken_away,
    Kind.ACKNOWLEDGE: lambda one, request, s: one.record is Record.DESIRED,
    Kind.RECONCILE_APPLY: lambda one, request, s: one.record in (Record.DESIRED, Record.OPEN),
    Kind.RECONCILE_DISCARD: lambda one, request, s: one.record in (Record.DESIRED, Record.OPEN),
    Kind.RECONCILE_APPROVE: lambda one, request, s: one.record in (Record.DESIRED, Record.RETURN),
    Kind.REJOIN: lambda one, request, s: one.record in (Record.DESIRED, Record.RETURN),
    Kind.VERIFY: lambda one, request, s: one.record in (Record.DESIRED, Record.RETURN),
}


def _switchover(request: Request, s: Situation) -> tuple[PreCheck, ...]:
    primary, standby = s.report(s.primary), s.report(s.standby)
    oldest_s = primary.oldest_transaction_s if primary else 0.0
    backlog = standby.backlog_transactions if standby else 0
    return (
        PreCheck("target", request.to == s.standby, f"{request.to!r} is not the standby, which is {s.standby}"),
        PreCheck("phase", s.cluster.phase is Phase.STEADY, f"the pair is {s.cluster.phase}: wait until it is STEADY"),
        PreCheck(
            "primary", primary is not None and primary.gate_open, f"{s.primary} does not serve: see kembar status"
        ),
        _maintained(request, s),
        PreCheck(
            "certified",
            s.standby_certified(),
            f"{s.standby} is not certified to hold everything: see kembar status for the reason",
        ),
        PreCheck(
            "newest",
            not record_old(s),
            "ZooKeeper lost writes that agents have followed: kembar adopt --reason TEXT comes first",
        ),
        PreCheck(
            "backlog",
            backlog <= s.policy.backlog_transactions_max,
            f"{s.standby} has {backlog} transactions to apply, at most {s.policy.backlog_transactions_max}: wait",
        ),
        PreCheck(
            "transactions",
            oldest_s <= TRANSACTION_AGE_MAX_S,
            f"a transaction on {s.primary} is {oldest_s:.0f} s old, at most {TRANSACTION_AGE_MAX_S:.0f} s: let it end",
        ),
    )


def _forced(request: Request, s: Situation) -> tuple[PreCheck, ...]:
    target, primary = s.report(request.to), s.report(s.primary)
    return (
        PreCheck("target", request.to == s.standby, f"{request.to!r} is not the node beside the primary, {s.standby}"),
        PreCheck("heard", target is not None, f"{request.to} is not heard: start its agent"),
        PreCheck(
            "primary",
            primary is None or not (primary.gate_open and primary.writable),
            f"{s.primary} is healthy and serves: use kembar switchover",
        ),
        _maintained(request, s),
        PreCheck(
            "repair",
            not _half_changed(request.to, s),
            f"the rows of {request.to} are changed back in part, so it holds what neither node ever had: wait until "
            "its return has gone on",
        ),
        _returned(target),
    )


def _maintained(request: Request, s: Situation) -> PreCheck:
    return PreCheck(
        "maintenance",
        request.to not in s.policy.maintenance,
        f"{request.to} is under maintenance, and somebody may be about to stop it: kembar maintenance off {request.to}",
    )


def _half_changed(node: NodeName, s: Situation) -> bool:
    record = s.reconcile.value if s.reconcile else None
    return record is not None and record.open and record.node == node and record.changed


def _adopt(request: Request, s: Situation) -> tuple[PreCheck, ...]:
    """A report that came with restored data counts as new when it is first seen, so it must have had time to age."""
    reports = [report for node in s.pair if (report := s.report(node)) is not None]
    served = last_primary(reports)
    return (
        _returned(s.report(request.to) if request.to in s.pair else None),
        PreCheck(
            "older",
            forgotten(s.cluster, reports),
            "no agent remembers a newer record than ZooKeeper holds: there is nothing to adopt",
        ),
        PreCheck(
            "heard",
            len(reports) == len(s.pair) and s.now - s.hearing_since > s.policy.silent_after_s,
            "both agents must be heard for a while, for each may remember the newest epoch: see that both run, and "
            "ask again",
        ),
        PreCheck(
            "target",
            request.to in s.pair and served in (None, request.to),
            f"{request.to!r} is not the node that served last, which is {served or 'unknown'}",
        ),
    )


def _returned(target: Report | None) -> PreCheck:
    """As the node itself says: force accepts loss, and not data that never was anybody's."""
    if target is None:
        return PreCheck("returned", True, "")
    uuid = target.identity.get("server_uuid", "")
    why = unreturned(target.returning, target.cut, target.executed, uuid)
    if not why and not uuid and (target.cut or target.returning.owed):
        why = (
            "transactions were taken out of its log, and whether their numbers are back is known only while its "
            "mysqld runs: wait until it does, and ask again"
        )
    return PreCheck("returned", not why, f"{target.node}: {why}")


def _acknowledge(request: Request, s: Situation) -> tuple[PreCheck, ...]:
    return (PreCheck("hold-down", s.hold_down, "there is no hold-down to end"),)


OWN_CHECKS: Mapping[Kind, Callable[[Request, Situation], tuple[PreCheck, ...]]] = {
    Kind.SWITCHOVER: _switchover,
    Kind.FAILOVER: _forced,
    Kind.ADOPT: _adopt,
    Kind.ACKNOWLEDGE: _acknowledge,
    **RETURN_CHECKS,
    Kind.VERIFY: verify_checks,
}
