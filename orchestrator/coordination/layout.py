"""Makes the nodes of a new cluster, once. They are never deleted: a recreated node starts at version 0 again."""

from __future__ import annotations

from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import Refused, StaleWrite
from orchestrator.core.history import Recent
from orchestrator.core.model import Cluster, Lease, Mode, NodeName, Phase, Policy, Report, Sync
from orchestrator.core.ports import Coordinator, Create
from orchestrator.core.requests import Pause
from orchestrator.core.wire import encode


def provision(
    coordinator: Coordinator, paths: Paths, pair: tuple[NodeName, NodeName], policy: Policy, timeout_s: float = 5.0
) -> None:
    """Folders and first records of a cluster whose first primary is the first node of `pair`.

    Raises Refused if the cluster already has a desired record: live state is never overwritten.
    """
    for folder in paths.folders():
        _create(coordinator, folder, b"", timeout_s)
    _create(coordinator, paths.leader, b"", timeout_s)
    _create(coordinator, paths.pause, encode(Pause()), timeout_s)
    _create(coordinator, paths.policy, encode(policy), timeout_s)
    _create(coordinator, paths.recent, encode(Recent()), timeout_s)
    for node in pair:
        _create(coordinator, paths.lease(node), encode(Lease(timing=policy.timing)), timeout_s)
        _create(coordinator, paths.sync(node), encode(Sync()), timeout_s)
        _create(coordinator, paths.report(node), encode(Report(node)), timeout_s)
    if not _create(coordinator, paths.desired, encode(first_record(pair[0])), timeout_s):
        raise Refused(f"{paths.desired} exists: the cluster is provisioned; nothing was changed")


def first_record(primary: NodeName) -> Cluster:
    """Epoch 1, nobody promotable: the other node is certified once it replicates."""
    return Cluster(epoch=1, seq=1, primary=primary, mode=Mode.ASYNC, phase=Phase.REJOINING, rule="new")


def _create(coordinator: Coordinator, path: str, data: bytes, timeout_s: float) -> bool:
    try:
        coordinator.submit((Create(path, data),)).result(timeout_s)
    except StaleWrite:
        return False  # it exists
    return True
