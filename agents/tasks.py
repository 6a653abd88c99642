"""What the threads of repair and of comparison are to do, from what a tick saw."""

from __future__ import annotations

from collections.abc import Iterable

from agents.look import Sight, primary_executed
from agents.reconcile.verifier import Due
from agents.reconcile.worker import Task
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import Mysqld, Role
from orchestrator.core.requests import Kind, Request, RequestState
from orchestrator.core.returning import Stage

NUMBER_MAX = 2**63 - 2  # of a GTID


def task(s: Sight) -> Task | None:
    """This node's part of the return that is under way, if it has one and its server can take it."""
    record = s.reconcile
    if record is None or not record.open or record.epoch != s.goal.epoch or s.mysqld is not Mysqld.RUNNING:
        return None
    mine = record.node == s.node
    primary = primary_executed(s) if mine else (s.facts.executed if s.facts else None)
    serves = s.power.gate_open and s.may_act
    if mine and primary is None and record.stage is Stage.REWIND:
        primary = ""  # its evidence is on both hosts: it needs nothing of the other node, which may be lost
    if primary is None or not (mine or serves):
        return None
    executed = GtidSet.parse(primary)
    if mine and s.peer.report is not None and (uuid := s.peer.report.identity.get("server_uuid")):
        # What it gave the number to itself it has: its report may be older than what has come from it by now.
        executed |= GtidSet.parse(f"{uuid}:1-{NUMBER_MAX}")
    return Task(record, returning=mine, primary_executed=executed)


def due(s: Sight, requests: Iterable[Request]) -> tuple[Due, ...]:
    """Comparisons: what operators ask for, then the one after its return; none for a node that is no standby."""
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
