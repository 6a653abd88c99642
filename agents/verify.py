"""Which comparisons are due on this node: those that operators ask for, then the one after its return."""

from __future__ import annotations

from collections.abc import Iterable

from agents.look import Sight
from agents.reconcile.verifier import Due
from orchestrator.core.model import Role
from orchestrator.core.requests import Kind, Request, RequestState


def due(s: Sight, requests: Iterable[Request]) -> tuple[Due, ...]:
    """The most urgent first; none for a node that is no standby."""
    if s.goal.role not in (Role.STANDBY, Role.RETURNING):
        return ()
    asked = [
        Due(one.id, one.epoch, one.actor, one.tables, awaited=True)
        for one in requests
        if one.kind is Kind.VERIFY
        and one.state is RequestState.RUNNING
        and one.epoch == s.goal.epoch
        and one.to == s.node
    ]
    return (*sorted(asked, key=lambda one: one.id), *_after_return(s))


def _after_return(s: Sight) -> tuple[Due, ...]:
    """Everything, once the node replicates again: certified or not, as that is what it may be taken back by."""
    record, fence, epoch = s.reconcile, s.cluster.fence, s.goal.epoch
    mine = record is not None and record.epoch == epoch and record.node == s.node
    if s.goal.role is not Role.STANDBY or (record is not None and mine and record.open):
        return ()
    if mine and record is not None:
        return (Due(f"return-{record.id}", epoch, "return"),)
    # One that was fenced and came back with nothing of its own. A planned switchover leaves nobody to return.
    fenced = fence is not None and fence.node == s.node and not (s.cluster.cause and fence.how == "released")
    return (Due(f"return-of-epoch-{epoch}", epoch, "return"),) if fenced else ()
