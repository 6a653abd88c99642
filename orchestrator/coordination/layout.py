"""Makes the nodes of a new cluster, once. They are never deleted: a recreated node starts at version 0 again."""

from __future__ import annotations

from orchestrator.coordination.paths import Paths
from orchestrator.core.access import Tokens
from orchestrator.core.errors import StaleWrite
from orchestrator.core.history import Recent
from orchestrator.core.model import Cluster, Lease, Mode, NodeName, Phase, Policy, Report, Sync
from orchestrator.core.ports import Coordinator, Create
from orchestrator.core.requests import Pause
from orchestrator.core.totals import Totals
from orchestrator.core.wire import encode


def provision(
    coordinator: Coordinator, paths: Paths, pair: tuple[NodeName, NodeName], policy: Policy, timeout_s: float = 5.0
) -> tuple[str, ...]:
    """Folders and first records of a cluster whose first primary is the first node of `pair`; the paths that it made.

    What exists is left as it is: live state is never overwritten, and an interrupted run is completed by the next.
    Raises CoordinatorUnavailable, UnknownOutcome.
    """
    nodes = dict.fromkeys((*paths.folders(), paths.leader), b"")
    nodes[paths.pause] = encode(Pause())
    nodes[paths.policy] = encode(policy)
    nodes[paths.tokens] = encode(Tokens())
    nodes[paths.recent] = encode(Recent())
    nodes[paths.totals] = encode(Totals())
    nodes[paths.returning] = nodes[paths.kept] = nodes[paths.decisions] = b""
    for node in pair:
        nodes[paths.lease(node)] = encode(Lease(timing=policy.timing))
        nodes[paths.sync(node)] = encode(Sync())
        nodes[paths.report(node)] = encode(Report(node))
    nodes[paths.desired] = encode(first_record(pair[0]))  # last: without it nobody decides anything
    return tuple(path for path, data in nodes.items() if _create(coordinator, path, data, timeout_s))


def first_record(primary: NodeName) -> Cluster:
    """Epoch 1, nobody promotable: the other node is certified once it replicates."""
    return Cluster(epoch=1, seq=1, primary=primary, mode=Mode.ASYNC, phase=Phase.REJOINING, rule="new")


def _create(coordinator: Coordinator, path: str, data: bytes, timeout_s: float) -> bool:
    try:
        coordinator.submit((Create(path, data),)).result(timeout_s)
    except StaleWrite:
        return False  # it exists
    return True
