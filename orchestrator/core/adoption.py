"""What the agents remember when ZooKeeper does not: whose power is to be recorded anew, and in which epoch."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.core.invariants import older
from orchestrator.core.model import Cluster, NodeName, Report


def forgotten(cluster: Cluster, reports: Collection[Report]) -> bool:
    """Whether an agent has followed a newer record than the one that is there, and therefore obeys none."""
    present = (cluster.epoch, cluster.seq)
    return any(older(present, (report.remembered_epoch, report.remembered_seq)) for report in reports)


def next_epoch(cluster: Cluster, reports: Collection[Report]) -> int:
    """Above every epoch that anybody remembers."""
    return max([cluster.epoch, *(report.remembered_epoch for report in reports)]) + 1


def last_primary(reports: Collection[Report]) -> NodeName | None:
    """The node that served last; None if nobody says, or if a later epoch may have named the other one.

    A node that was named and never opened has acknowledged nothing, but may hold what the other one lacks.
    """
    newest = max((report.remembered_epoch for report in reports), default=0)
    served = [report.node for report in reports if newest and report.opened_epoch == newest]
    return served[0] if len(served) == 1 else None
