"""A pair with its orchestrators in one value of time: converge and decide as they are, everything else by one table.

No network, no servers, no threads: a record written is seen at once, an action takes one step of the clock. What may go
wrong inside ZooKeeper, kernel and mysqld is the business of tests/sim; here is told what follows from what.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agents.converge import Action, Local, converge, unable
from orchestrator.core.invariants import check_step
from orchestrator.core.model import (
    Certified,
    Cluster,
    Lease,
    LeaseState,
    Mode,
    Mysqld,
    NodeName,
    Phase,
    Policy,
    Report,
    Role,
    Sync,
    SyncState,
    goal_for,
)
from orchestrator.core.requests import Request
from orchestrator.core.rules import decide, waiting
from orchestrator.core.situation import Sighting, Situation
from orchestrator.core.transitions import Answer, LeaseAt, Revoke, SyncAt
from tests.builders import DB_A, DB_B, PAIR, UUID_A
from tests.hands import after, may

STEP_S = 0.05
HEALTHY = Cluster(1, 1, DB_A, Mode.SYNC, Phase.STEADY, Certified(DB_B, "db-b/1"), term=1)
POLICY = Policy()
TIMING = POLICY.timing


@dataclass
class Node:
    """One host. `local` is what its agent sees of mysqld and kernel."""

    name: NodeName
    local: Local
    up: bool = True  # the host
    reaches_zookeeper: bool = True
    receiver_works: bool = True
    executed: int = 100
    life: int = 1
    sent: float = float("-inf")  # before the last acknowledged renewal
    heard: float = 0.0  # something from the source
    unheard_since: float | None = None
    epoch: int = 0
    token: str = ""

    @property
    def running(self) -> bool:
        return self.up and self.local.mysqld is Mysqld.RUNNING


@dataclass
class World:
    """`run` lets time pass; `lines` is what happened."""

    now: float = 0.0
    nodes: dict[NodeName, Node] = field(default_factory=dict)
    cluster: Cluster = HEALTHY
    leases: dict[NodeName, Sighting[Lease]] = field(default_factory=dict)
    syncs: dict[NodeName, Sighting[Sync]] = field(default_factory=dict)
    reports: dict[NodeName, Sighting[Report]] = field(default_factory=dict)
    requests: dict[str, Sighting[Request]] = field(default_factory=dict)
    phase_since: float = 0.0
    leaders: int = 2  # orchestrators alive; the next one takes over where the last one stopped
    paused: bool = False
    version: int = 10  # of any record: only ever compared for being the same
    lines: list[str] = field(default_factory=list)
    said: str = ""

    def __post_init__(self) -> None:
        serving = Local(
            Mysqld.RUNNING, "db-a/1", lease_held=True, lease_open=True, gate_open=True, said_open=True,
            has_address=True, offline=False, read_only=False, locked=False, source_on=True, requires_ack=True,
            armed=True, opened=True, was_primary=True,
        )  # fmt: skip
        following = Local(
            Mysqld.RUNNING, "db-b/1", offline=False, receiving=True, applying=True, follows_peer=True, errant=False
        )
        self.nodes = {DB_A: Node(DB_A, serving), DB_B: Node(DB_B, following)}
        self.put_lease(DB_A, Lease(LeaseState.HELD, 1, "db-a/o", gate_open=True))
        self.put_lease(DB_B, Lease())
        self.put_sync(DB_A, Sync(SyncState.ARMED, 1, "db-a/1", "t0", "db-b/1"))
        self.put_sync(DB_B, Sync())
        for node in self.nodes.values():
            node.epoch, node.sent = 1, 0.0
            self.report(node)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now = round(self.now + STEP_S, 3)
            for node in self.nodes.values():
                self.tick(node)
            if self.leaders:
                self.lead()
            self.check()

    # one step

    def tick(self, node: Node) -> None:
        if not node.up:
            if self.now - node.sent >= TIMING.gate_ttl_s:
                node.local = replace(node.local, gate_open=False)
            return
        self.kernel_and_replication(node)
        if not node.reaches_zookeeper:
            return
        node.epoch = self.cluster.epoch
        lease = self.leases[node.name].value
        if lease.state is LeaseState.HELD and lease.owner == f"{node.name}/o":
            node.sent = self.now
            self.put_lease(node.name, lease)
        goal = goal_for(node.name, self.cluster)
        node.local = self.look(node)
        for action in converge(goal, node.local):
            may(goal, node.local, action)
            if not self.carry_out(node, action):
                break
        node.local = self.look(node)
        if self.now - self.reports[node.name].first_seen >= POLICY.report_every_s or self.is_news(node):
            self.report(node)

    def kernel_and_replication(self, node: Node) -> None:
        if node.local.gate_open and self.now - node.sent >= TIMING.authorised_s:
            node.local = replace(node.local, gate_open=False, lease_held=False)
        source = self.nodes[self.other(node.name)]
        if node.running and node.local.receiving and node.receiver_works and source.running:
            node.heard = self.now
            if node.local.applying and not source.local.locked:
                node.executed = max(node.executed, source.executed)
        alone = node.running and node.local.requires_ack and not self.connected(source)
        node.unheard_since = (self.now if node.unheard_since is None else node.unheard_since) if alone else None

    def connected(self, node: Node) -> bool:
        return node.running and node.local.receiving and node.receiver_works and self.nodes[self.other(node.name)].up

    def look(self, node: Node) -> Local:
        lease, sync = self.leases[node.name].value, self.syncs[node.name].value
        peer = self.nodes[self.other(node.name)]
        epoch = self.cluster.epoch
        certified = self.cluster.promotable is not None and self.cluster.primary == node.name
        mine = sync.epoch == epoch and sync.incarnation == node.local.incarnation and sync.standby == self.life(peer)
        return replace(
            node.local,
            lease_held=lease.state is LeaseState.HELD and lease.epoch == epoch and node.sent > float("-inf"),
            lease_open=lease.state in (LeaseState.HELD, LeaseState.REVOKED),
            said_open=lease.gate_open,
            relaxed=sync.state is SyncState.RELAXED and sync.epoch == epoch,
            armed=sync.state is SyncState.ARMED and mine,
            certifying=sync.state is SyncState.ARMED and mine and not certified,
            restart_due=self.cluster.mode is Mode.ASYNC or self.cluster.promotable is None
            or self.now - self.leases[node.name].first_seen >= POLICY.restart_wait_s,
            standby_ready=self.connected(peer) and peer.local.applying
            and peer.epoch == epoch and peer.reaches_zookeeper,
            errant=False if self.leases[self.cluster.primary].value.gate_open else None,
            handing_over=self.handed_over(node.name) > 0,
            awaited=self.handed_over(node.name) > int(self.reports[node.name].value.executed.rpartition("-")[2]),
        )  # fmt: skip

    def handed_over(self, name: NodeName) -> int:
        lease = self.leases[self.cluster.primary].value
        waits = self.cluster.phase is Phase.SWITCHING and name != self.cluster.primary
        return int(lease.executed.rpartition("-")[2]) if waits and lease.why == "handover" and lease.executed else 0

    def carry_out(self, node: Node, action: Action) -> bool:
        """The action and what it writes; whether it went through."""
        goal, lease, epoch = goal_for(node.name, self.cluster), self.leases[node.name].value, self.cluster.epoch
        peer = self.nodes[self.other(node.name)]
        sync = Sync(epoch=epoch, incarnation=node.local.incarnation)
        match action:
            case Action.OPEN_GATE if self.now - node.sent >= TIMING.authorised_s:
                return False
            case Action.TAKE_LEASE:
                node.sent = self.now
                self.put_lease(node.name, Lease(LeaseState.HELD, epoch, f"{node.name}/o"))
                if goal.mode is Mode.ASYNC:
                    self.put_sync(node.name, replace(sync, state=SyncState.RELAXED))
            case Action.RELEASE | Action.HAND_OVER:
                exited = node.local.mysqld is not Mysqld.RUNNING
                why = "handover" if action is Action.HAND_OVER else "exited" if exited else "superseded"
                executed = self.gtids(node) if action is Action.HAND_OVER else ""
                self.put_lease(
                    node.name, replace(lease, state=LeaseState.RELEASED, gate_open=False, why=why, executed=executed)
                )
            case Action.SAY_OPEN:
                self.put_lease(node.name, replace(lease, gate_open=True))
            case Action.RECORD_RELAXED | Action.RECORD_DEGRADED | Action.WITHDRAW:
                states = {Action.RECORD_RELAXED: SyncState.RELAXED, Action.RECORD_DEGRADED: SyncState.DEGRADED}
                self.put_sync(node.name, replace(sync, state=states.get(action, SyncState.NONE)))
            case Action.CERTIFY:
                token, state = f"t{self.version}", SyncState.ARMED
                self.put_sync(
                    node.name,
                    replace(sync, state=state, token=token, standby=self.life(peer), executed=self.gtids(node)),
                )
            case Action.START_MYSQLD:
                node.life += 1
        node.local = after(goal, node.local, action)
        if action in (Action.START_MYSQLD, Action.CONFIGURE_CHANNEL):
            node.local = replace(node.local, incarnation=f"{node.name}/{node.life}", follows_peer=True)
        return True

    def server_is_gone(self, node: Node) -> None:
        node.local = replace(after(goal_for(node.name, self.cluster), node.local, Action.KILL_MYSQLD))

    def is_news(self, node: Node) -> bool:
        told, fresh = self.reports[node.name].value, self.facts(node)
        return replace(told, unheard_s=0, received_age_s=0) != replace(fresh, unheard_s=0, received_age_s=0)

    def report(self, node: Node) -> None:
        self.version += 1
        self.reports[node.name] = Sighting(self.facts(node), self.version, self.now)

    def facts(self, node: Node) -> Report:
        local, goal = node.local, goal_for(node.name, self.cluster)
        peer_sync = self.syncs[self.other(node.name)].value
        follows = goal.role in (Role.STANDBY, Role.RETURNING) and peer_sync.standby == local.incarnation
        holds = follows and peer_sync.state is SyncState.ARMED
        unheard_s = self.now - node.unheard_since if node.unheard_since is not None else 0.0
        return Report(
            node.name, epoch=node.epoch, seq=self.cluster.seq, role=goal.role, mysqld=local.mysqld,
            incarnation=local.incarnation, executed=self.gtids(node), receiver_connected=self.connected(node),
            received_age_s=self.now - node.heard, applier_running=local.applying, writable=not local.read_only,
            gate_open=local.gate_open, token=peer_sync.token if holds else "", unheard_s=round(unheard_s, 3),
            unable=unable(goal, local),
        )  # fmt: skip

    # the leader

    def lead(self) -> None:
        s = self.situation()
        decision = decide(s)
        if decision.rule is None:
            self.say(waiting(s))
            return
        if not all(self.holds(guard) for guard in decision.guards):
            return
        check_step(self.cluster, decision.cluster)
        if decision.cluster.phase is not self.cluster.phase or decision.cluster.epoch != self.cluster.epoch:
            self.phase_since = self.now
        self.cluster = decision.cluster
        for guard in decision.guards:
            if isinstance(guard, Revoke):
                self.put_lease(guard.node, guard.lease)
            if isinstance(guard, Answer):
                self.requests[guard.request.id] = Sighting(guard.request, 1, self.now)
        c, self.said = decision.cluster, ""
        self.lines.append(
            f"{self.now:.2f} {decision.rule.id} {c.phase.lower()} epoch={c.epoch} {c.mode.lower()}"
            f" {c.primary}: {decision.rule.why}"
        )

    def situation(self) -> Situation:
        fence = self.cluster.fence
        return Situation(
            self.cluster, PAIR, POLICY, self.now, self.phase_since, -1.0, self.leases, self.syncs, self.reports,
            self.requests, self.fence_seen(fence.node) if fence else None, self.paused, term=1,
        )  # fmt: skip

    def fence_seen(self, node: NodeName) -> float:
        """The revoke keeps the first sighting of the version it replaced."""
        return self.leases[node].first_seen

    def holds(self, guard: object) -> bool:
        match guard:
            case LeaseAt(node, version) | Revoke(node, version, _):
                return self.leases[node].version == version
            case SyncAt(node, version):
                return self.syncs[node].version == version
            case _:
                return True

    def say(self, reason: str) -> None:
        if reason != self.said:
            self.said = reason
            self.lines.append(f"{self.now:.2f} -- {'waits ' + reason if reason else 'waits for nothing'}")

    def check(self) -> None:
        open_gates = [n.name for n in self.nodes.values() if n.local.gate_open]
        assert len(open_gates) <= 1, f"{self.now}: two gates are open"

    # records

    def put_lease(self, name: NodeName, lease: Lease) -> None:
        self.version += 1
        seen = self.leases[name].first_seen if lease.state is LeaseState.REVOKED else self.now
        self.leases[name] = Sighting(lease, self.version, seen)

    def put_sync(self, name: NodeName, sync: Sync) -> None:
        self.version += 1
        self.syncs[name] = Sighting(sync, self.version, self.now)

    def other(self, name: NodeName) -> NodeName:
        return DB_B if name == DB_A else DB_A

    def life(self, node: Node) -> str:
        return node.local.incarnation

    def gtids(self, node: Node) -> str:
        return f"{UUID_A}:1-{node.executed}"
