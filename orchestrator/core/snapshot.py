"""One pair at one moment, as an orchestrator knows it: what page, API, CLI and metrics show. Never decided on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from orchestrator.core.history import Event, Incident
from orchestrator.core.kept import Open
from orchestrator.core.model import Cluster, Instant, Lease, NodeName, Policy, Report, Sync
from orchestrator.core.readiness import Readiness
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Pause, Request
from orchestrator.core.totals import Totals
from orchestrator.core.unreadable import Unreadable

Kept = TypeVar("Kept", covariant=True)


@dataclass(frozen=True, slots=True)
class Aged(Generic[Kept]):
    """A record, and how long before `taken` this orchestrator first saw this version of it."""

    value: Kept
    age_s: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is shown of one pair. All ages are counted back from `taken`."""

    name: str
    pair: tuple[NodeName, NodeName]
    vip: str
    taken: Instant  # on the clock that page and API are given too, so that a stopped tick shows as old data
    instance: str  # the orchestrator that took it
    connected: bool = False  # to ZooKeeper
    age_s: float = 0.0  # since ZooKeeper was last heard
    cluster: Cluster | None = None  # None: no desired record has been read yet
    policy: Policy = field(default_factory=Policy)
    leases: Mapping[NodeName, Aged[Lease]] = field(default_factory=dict)
    syncs: Mapping[NodeName, Aged[Sync]] = field(default_factory=dict)
    reports: Mapping[NodeName, Aged[Report]] = field(default_factory=dict)
    requests: Mapping[str, Request] = field(default_factory=dict)
    returning: Reconcile | None = None  # the return that is under way, or the last one
    kept: Open = field(default_factory=Open)  # what waits for a person
    pause: Pause = field(default_factory=Pause)
    pause_left_s: float | None = None  # None: not paused, or without an end
    paused: bool = False
    hold_down: bool = False
    finding: str = ""  # its name
    finding_text: str = ""
    unreadable: tuple[Unreadable, ...] = ()
    waiting: str = ""  # why nothing happens and what ends the wait; empty if nothing is waited for
    clock_offsets_s: Mapping[NodeName, float] = field(default_factory=dict)  # a node's clock less ZooKeeper's
    incidents: tuple[Incident, ...] = ()  # newest first
    events: Mapping[int, Event] = field(default_factory=dict)  # by number, oldest first
    readiness: Readiness = field(default_factory=Readiness)
    totals: Totals | None = None  # None: there are none yet, or they cannot be read
    leader: str = ""  # the orchestrator that leads, empty: none that we know of

    def other(self, node: NodeName) -> NodeName:
        """The other node of the pair."""
        return self.pair[1] if node == self.pair[0] else self.pair[0]

    def stale(self, age_s: float) -> bool:
        """Whether something so old says nothing about the present: three report periods."""
        return age_s > 3 * self.policy.report_every_s

    def aged(self, now: Instant) -> float:
        """How old the data is at `now`."""
        return self.age_s + max(now - self.taken, 0.0)

    @property
    def incident(self) -> Incident | None:
        """The latest failover or switchover."""
        return self.incidents[0] if self.incidents else None
