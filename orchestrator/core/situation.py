"""Everything a decision may rest on, in one value, with plain questions. If it is not in here, it cannot matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from orchestrator.core.kept import Open, Settlements
from orchestrator.core.model import (
    Certified,
    Cluster,
    Instant,
    Lease,
    LeaseState,
    Mode,
    Mysqld,
    NodeName,
    Policy,
    Report,
    Sync,
    SyncState,
)
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Request
from orchestrator.core.unreadable import HARMLESS, Record, Unreadable

Kept = TypeVar("Kept", covariant=True)


@dataclass(frozen=True, slots=True)
class Sighting(Generic[Kept]):
    """A record at one version, and when this orchestrator first saw that version on its own clock."""

    value: Kept
    version: int
    first_seen: Instant


@dataclass(frozen=True, slots=True)
class Situation:
    """What the leader knows at `now`, all times on its waiter's clock."""

    cluster: Cluster
    pair: tuple[NodeName, NodeName]
    policy: Policy
    now: Instant
    phase_since: Instant  # when we first saw the present phase of the present epoch
    hearing_since: Instant  # since when we have heard without a break; inf while we do not
    leases: Mapping[NodeName, Sighting[Lease]] = field(default_factory=dict)
    syncs: Mapping[NodeName, Sighting[Sync]] = field(default_factory=dict)
    reports: Mapping[NodeName, Sighting[Report]] = field(default_factory=dict)
    requests: Mapping[str, Sighting[Request]] = field(default_factory=dict)
    fence_seen: Instant | None = None  # first sighting of the lease version that the fence names, or of its revoke
    paused: bool = False
    hold_down: bool = False
    reconcile: Sighting[Reconcile] | None = None  # the return that is under way, or the last one
    kept: Open = field(default_factory=Open)  # what waits for a person
    settlements: Sighting[Settlements] | None = None  # what a person chose and nobody has answered
    term: int = 0
    unreadable: tuple[Unreadable, ...] = ()  # a record that cannot be read is in none of the mappings above

    @property
    def primary(self) -> NodeName:
        """The node that the desired record names as writer."""
        return self.cluster.primary

    @property
    def standby(self) -> NodeName:
        return self.other(self.primary)

    def other(self, node: NodeName) -> NodeName:
        return self.pair[1] if node == self.pair[0] else self.pair[0]

    @property
    def hearing(self) -> bool:
        """Whether we have heard long enough for silence to mean something."""
        return self.now - self.hearing_since >= self.policy.hear_s

    def report(self, node: NodeName) -> Report | None:
        """The node's last report, if it still says something about the present."""
        sighting = self.reports.get(node)
        return sighting.value if sighting and not self.silent(node) else None

    def cannot_read(self, record: Record, node: NodeName | None = None) -> bool:
        """Whether that record of the cluster, or of that node, is there and says nothing."""
        return any(one.record is record and one.node == node for one in self.unreadable)

    @property
    def clear(self) -> bool:
        """Whether every record that somebody could be promoted by can be read."""
        return all(one.record in HARMLESS for one in self.unreadable)

    def silent(self, node: NodeName) -> bool:
        """No report for silent_after_s. A node never seen is silent; one whose report cannot be read may not be."""
        if self.cannot_read(Record.REPORT, node):
            return False
        sighting = self.reports.get(node)
        return sighting is None or self.now - sighting.first_seen > self.policy.silent_after_s

    def lease(self, node: NodeName) -> Lease:
        sighting = self.leases.get(node)
        return sighting.value if sighting else Lease()

    def lease_age_s(self, node: NodeName) -> float:
        """How long the lease has not moved; counted from our first sighting of its version, also across a break."""
        sighting = self.leases.get(node)
        return self.now - sighting.first_seen if sighting else 0.0

    def sync(self, node: NodeName) -> Sync:
        sighting = self.syncs.get(node)
        return sighting.value if sighting else Sync()

    def armed(self) -> bool:
        """Whether the primary's last word on semi-sync is that commits wait, in this epoch."""
        sync = self.sync(self.primary)
        return sync.state is SyncState.ARMED and sync.epoch == self.cluster.epoch

    def standby_certified(self) -> bool:
        """As recorded, and still the same mysqld: a restart may have thrown away acknowledged relay logs."""
        report = self.report(self.standby)
        return (
            report is not None
            and self.cluster.mode is Mode.SYNC
            and report.mysqld is Mysqld.RUNNING
            and self.standby not in self.policy.maintenance
            and not self.cannot_read(Record.POLICY)  # it may say that the standby is in maintenance
            and self.cluster.promotable == Certified(self.standby, report.incarnation)
        )

    def fence_wait_over(self) -> bool:
        """Whether W has passed for the lease version that the fence names, by the timings in that version."""
        fence = self.cluster.fence
        if fence is None or self.fence_seen is None:
            return False
        return self.now >= self.fence_seen + self.lease(fence.node).timing.fence_wait_s

    def released(self, node: NodeName) -> bool:
        """Whether the node says, for this epoch, that it serves nobody and nothing local can write."""
        lease = self.lease(node)
        return lease.state is LeaseState.RELEASED and lease.epoch == self.cluster.epoch
