"""The record of what is open, in ZooKeeper: written by the agent of the primary, and by nobody else."""

from __future__ import annotations

from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import readable
from orchestrator.core.errors import StaleWrite
from orchestrator.core.kept import Open
from orchestrator.core.model import Cluster, NodeName
from orchestrator.core.ports import Check, Coordinator, Create, Op, SetData
from orchestrator.core.wire import encode

WRITE_S = 2.0


class OpenRecord:
    """Used by the repair thread."""

    def __init__(self, node: NodeName, paths: Paths, coordinator: Coordinator) -> None:
        self._node, self._paths, self._coordinator = node, paths, coordinator

    def publish(self, what: Open) -> None:
        """Write it if it is another one than is there, and this node is primary. Raises KembarError: call again."""
        desired = self._coordinator.read(self._paths.desired)
        cluster = readable(Cluster, desired)
        if desired is None or cluster is None or cluster.primary != self._node:
            raise StaleWrite(f"{self._paths.desired} does not name {self._node} as primary: nothing is published")
        stored = self._coordinator.read(self._paths.kept)
        data = encode(what)
        if (stored.data if stored else b"") == data or (not what.total and not (stored and stored.data)):
            return
        # The desired record too: a primary of before must not overwrite what the present one says.
        write: Op = SetData(self._paths.kept, data, stored.version) if stored else Create(self._paths.kept, data)
        self._coordinator.submit((Check(self._paths.desired, desired.version), write)).result(WRITE_S)
