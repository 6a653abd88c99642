"""Two simulated hosts of one pair, and what the records tell of a primary's death. Reads decisions, makes none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.simnode import SimulatedNode
from orchestrator.coordination.paths import Paths
from orchestrator.coordination.records import Reader, readable
from orchestrator.core.model import Cluster, Instant, LeaderRecord, NodeName, Phase
from orchestrator.core.ports import Clock, Coordinator, Seen

DECIDED = "F5"  # the rule by which an exited primary is followed
Snapshot = Callable[[], Mapping[str, Seen]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """One death and the decision that followed it. Times are ZooKeeper's, which is on the same host as we are."""

    pair: str
    rule: str
    moved: bool  # to the other node, in the next epoch
    told_ms: float  # from the death until ZooKeeper had the release
    decided_ms: float  # until it had the decision
    heard_ms: float  # until the other node had read that

    @property
    def reaction_ms(self) -> float:
        """From the death to the written decision."""
        return self.told_ms + self.decided_ms


@dataclass(frozen=True, slots=True)
class _Struck:
    node: NodeName
    epoch: int
    at_ms: float


class SimulatedPair:
    """Used by one thread. `mirrors` are what each node sees, by its name."""

    def __init__(
        self, paths: Paths, nodes: Mapping[NodeName, SimulatedNode], mirrors: Mapping[NodeName, Snapshot],
        coordinator: Coordinator, clock: Clock,
    ) -> None:  # fmt: skip
        self._paths, self._nodes, self._mirrors = paths, nodes, mirrors
        self._coordinator, self._clock = coordinator, clock
        self._reader = Reader()
        self._struck: _Struck | None = None
        self._epoch = 0
        self.unasked = 0  # epochs that began though nobody had died

    @property
    def name(self) -> str:
        return self._paths.cluster

    def step(self, node: NodeName) -> Instant:
        """One pass of a node; when its next one is due."""
        return self._nodes[node].step(self._mirrors[node]())

    def healthy(self) -> bool:
        """Whether the other node could take over now."""
        cluster = self._cluster(next(iter(self._nodes)))
        return cluster is not None and cluster.phase is Phase.STEADY and cluster.promotable is not None

    def strike(self) -> None:
        """The primary's mysqld dies."""
        cluster = self._cluster(next(iter(self._nodes)))
        assert cluster is not None  # it is healthy
        self._struck = _Struck(cluster.primary, cluster.epoch, 1000 * self._clock.wall_s())
        self._nodes[cluster.primary].die()

    def reaction(self) -> Reaction | None:
        """The decision about the death, once the other node has read it. Counts epochs that nobody had asked for."""
        survivor = self._survivor()
        cluster = self._cluster(survivor)
        if cluster is None or cluster.epoch <= self._epoch:
            return None
        struck, before, self._epoch = self._struck, self._epoch, cluster.epoch
        if struck is None:
            self.unasked += before > 0
            return None
        self._struck = None
        heard_ms = 1000 * self._clock.wall_s()
        decided = self._mirrors[survivor]()[self._paths.desired].stored.modified_ms
        released = self._coordinator.read(self._paths.lease(struck.node))
        told = released.modified_ms if released is not None else decided
        moved = cluster.primary == survivor and cluster.epoch == struck.epoch + 1
        return Reaction(self.name, cluster.rule, moved, told - struck.at_ms, float(decided - told), heard_ms - decided)

    def leader(self) -> str:
        """The orchestrator that leads this pair by its record; empty: none has yet."""
        record = readable(LeaderRecord, self._coordinator.read(self._paths.leader))
        return record.owner if record is not None else ""

    def _survivor(self) -> NodeName:
        first, second = self._nodes
        return second if self._struck is not None and self._struck.node == first else first

    def _cluster(self, node: NodeName) -> Cluster | None:
        found = self._reader.sighting(Cluster, self._mirrors[node](), self._paths.desired)
        return found.value if found is not None else None
