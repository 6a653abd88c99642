"""The pair in small: two nodes, two orchestrators, the records in ZooKeeper; and what a node tells of itself.

Data are sets of transaction numbers. Time is what may have passed, never how much.
"""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from agents.converge import Action, Local
from agents.dialect import TIMEOUT_MAX_MS, channel_login
from agents.lease import Power
from agents.look import Peer, Sight, local
from agents.reconcile.swap import SwapState
from agents.replication import ServerFacts
from orchestrator.core.gtid import GtidSet
from orchestrator.core.model import (
    Certified,
    Cluster,
    Goal,
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

PAIR = (NodeName("db-a"), NodeName("db-b"))
LOGIN = channel_login("kembar_repl", None)
UUIDS = ("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb")
POLICY = Policy()
LONG_S = 100.0
_KEY = attrgetter(*(field.name for field in fields(Report) if field.name not in ("identity", "timeline_ms")))
Numbers = frozenset[int]


class Node(NamedTuple):
    """One host: its agent with what it remembers, its mysqld with its data, its gate."""

    agent: bool = True
    paused: bool = False  # the agent, between two steps
    cut: bool = False  # from everything
    running: bool = True
    life: int = 1
    gate: bool = False
    authority: bool = False  # a renewal was acknowledged, and its horizon may not be over
    renouncing: bool = False
    writable: bool = False
    requires_ack: bool = False
    receiving: bool = False
    applying: bool = False
    executed: Numbers = frozenset()
    received: Numbers = frozenset()
    tail: Numbers = frozenset()  # in the binary log, waiting for the other's acknowledgement
    remembered: tuple[int, int] = (0, 0)
    promoted: int = 0  # epoch of the promotion file
    opened: tuple[int, str] | None = None
    doubt: bool = False  # a write of the sync record has an unknown outcome
    order: Order | None = None


class Order(NamedTuple):
    """What an agent is about to do, and what that rests on."""

    actions: tuple[Action, ...]
    goal: Goal
    standby: str
    why: str
    handover: str


class Told:
    """A report that can be told apart quickly: its mappings are empty here, and no part of it."""

    __slots__ = ("_key", "report")

    def __init__(self, report: Report) -> None:
        self.report, self._key = report, _KEY(report)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Told) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class View(NamedTuple):
    """The records as one orchestrator saw them last; leases and sync records with their versions."""

    desired: Cluster
    leases: tuple[tuple[Lease, int], tuple[Lease, int]]
    syncs: tuple[tuple[Sync, int], tuple[Sync, int]]
    reports: tuple[Told, Told]
    asked: bool


class State(NamedTuple):
    desired: Cluster
    term: int
    leases: tuple[tuple[Lease, int], tuple[Lease, int]]
    syncs: tuple[tuple[Sync, int], tuple[Sync, int]]
    nodes: tuple[Node, Node]
    terms: tuple[int, int]  # in which each orchestrator believes it leads; 0: it does not
    views: tuple[View | None, View | None]
    asked: bool  # an operator asks for a switchover
    acknowledged: Numbers
    writes_left: int
    takeovers: int


def incarnation(i: int, node: Node) -> str:
    return f"{UUIDS[i]}/{node.life}/0" if node.running else ""


def heard(node: Node) -> bool:
    """Whether its agent renews and reports."""
    return node.agent and not node.paused and not node.cut


def connected(s: State | Bare, source: int) -> bool:
    """Whether the other node's receiver is connected to this one."""
    one, other = s.nodes[source], s.nodes[1 - source]
    return other.receiving and one.running and other.running and not one.cut and not other.cut


@lru_cache(4096)
def text(numbers: Numbers) -> str:
    return f"{UUIDS[0]}:{':'.join(map(str, sorted(numbers)))}" if numbers else ""


def steady(writes: int) -> State:
    """A healthy pair: db-a serves in SYNC, db-b is certified and has still to apply what was acknowledged last."""
    first = frozenset({1})
    one, two = Node(executed=first), Node(received=first)
    armed = Sync(SyncState.ARMED, 1, incarnation(0, one), "t0", incarnation(1, two))
    held = Lease(LeaseState.HELD, 1, "a", 1, gate_open=True, incarnation=incarnation(0, one))
    desired = Cluster(
        1, 1, PAIR[0], Mode.SYNC, Phase.STEADY, Certified(PAIR[1], incarnation(1, two)), rule="U2", term=1
    )
    return State(
        desired=desired,
        term=1,
        leases=((held, 1), (Lease(), 1)),
        syncs=((armed, 1), (Sync(), 1)),
        nodes=(
            one._replace(
                gate=True, authority=True, writable=True, requires_ack=True, remembered=(1, 1),
                promoted=1, opened=(1, incarnation(0, one)),
            ),
            two._replace(receiving=True, applying=True, remembered=(1, 1)),
        ),
        terms=(1, 0),
        views=(None, None),
        asked=False,
        acknowledged=first,
        writes_left=writes,
        takeovers=0,
    )  # fmt: skip


class _Memory:
    """The part of Memory that look.local reads."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def opened(self) -> tuple[int, str] | None:
        return self._node.opened

    def promotion(self) -> dict[str, int]:
        return {"epoch": self._node.promoted}

    def tail(self) -> None:
        return None


def sight(s: Bare, i: int, *, late: bool) -> Sight:
    """What the agent of node `i` sees now. `late`: a certification has waited too long."""
    node, other, goal = s.nodes[i], s.nodes[1 - i], goal_for(PAIR[i], s.desired)
    lease, sync = s.leases[i][0], s.syncs[i][0]
    ours = lease.state is LeaseState.HELD
    theirs = s.leases[1 - i][0]
    told = s.desired.phase is Phase.SWITCHING and goal.role is Role.STANDBY
    handed = told and theirs.state is LeaseState.RELEASED and theirs.why == "handover"
    reachable = heard(other)
    return Sight(
        node=PAIR[i],
        cluster=s.desired,
        goal=goal,
        policy=POLICY,
        now=LONG_S,
        mysqld=Mysqld.RUNNING if node.running else Mysqld.DEAD,
        incarnation=incarnation(i, node),
        facts=_facts(s, i) if node.running else None,
        fresh=node.running,
        power=Power(lease, 0.0 if node.authority else None, node.gate, known=True),
        may_act=ours and node.authority,
        has_address=False,
        sync=sync,
        sync_readable=True,
        relaxed=sync.state is SyncState.RELAXED and sync.epoch == goal.epoch and not node.doubt,
        armed_since=0.0 if late else LONG_S,
        peer=Peer(
            report(s, 1 - i) if reachable else None, 0.0 if reachable else LONG_S, theirs.executed if handed else ""
        ),
        peer_address=PAIR[1 - i],
        channel_login=LOGIN,
        login_after=0.0,
        peer_errant=GtidSet(),
        stalled_s=LONG_S if node.tail and not connected(s, i) else 0.0,
        released_since=0.0 if lease.state is LeaseState.RELEASED and lease.epoch == goal.epoch else None,
        certify_after=0.0,
        refusals=(),
        reconcile=None,
        swap=SwapState(),
        told_handover=text(node.executed),
    )


class Bare(NamedTuple):
    """The part of a state that agents see: it is the same in many states."""

    desired: Cluster
    leases: tuple[tuple[Lease, int], tuple[Lease, int]]
    syncs: tuple[tuple[Sync, int], tuple[Sync, int]]
    nodes: tuple[Node, Node]


def bare(s: State) -> Bare:
    return Bare(s.desired, s.leases, s.syncs, s.nodes)


def found(s: Bare, i: int, *, late: bool) -> tuple[Sight, Local]:
    seen = sight(s, i, late=late)
    return seen, local(seen, _Memory(s.nodes[i]))


def _facts(s: Bare, i: int) -> ServerFacts:
    node = s.nodes[i]
    return ServerFacts(
        server_uuid=UUIDS[i],
        version="9.7.4",
        offline=False,
        read_only=not node.writable,
        super_read_only=not node.writable,
        executed=text(node.executed),
        received=text(node.received),
        receiver_running=node.receiving,
        receiver_connected=connected(s, 1 - i),
        receiver_error="",
        channel_source=(PAIR[1 - i], 3306),
        channel_login=LOGIN,
        applier_running=node.applying,
        applier_error="",
        arrivals="",
        source_on=node.requires_ack,
        source_timeout_ms=TIMEOUT_MAX_MS,
        source_status_on=node.requires_ack,
        wait_no_replica=True,
        semisync_clients=int(node.requires_ack and connected(s, i)),
        wait_sessions=len(node.tail),
        no_tx=0,
        replica_side_on=True,
        replica_status_on=node.receiving,
        durable=True,
        connections=1,
        commits=0,
    )


@lru_cache(100_000)
def told(s: Bare, i: int) -> Told:
    return Told(report(s, i))


def report(s: Bare, i: int) -> Report:
    """What the agent of node `i` would tell now."""
    node, goal = s.nodes[i], goal_for(PAIR[i], s.desired)
    theirs = s.syncs[1 - i][0]
    holds = GtidSet.parse(theirs.executed) <= GtidSet.parse(text(node.executed | node.received))
    proven = theirs.state is SyncState.ARMED and theirs.standby == incarnation(i, node) and holds
    follows = goal.role in (Role.STANDBY, Role.RETURNING)
    heir = goal.heir if goal.role in (Role.PREPARE, Role.PRIMARY) else None
    coming = heir is not None and node.promoted != goal.epoch and node.running
    peer = s.nodes[1 - i]
    errant = node.executed - peer.executed - peer.tail if follows and not node.receiving else frozenset()
    unheard = node.requires_ack and not connected(s, i) and goal.role is Role.PRIMARY
    return Report(
        node=PAIR[i],
        epoch=goal.epoch,
        seq=goal.seq,
        role=goal.role,
        mysqld=Mysqld.RUNNING if node.running else Mysqld.DEAD,
        incarnation=incarnation(i, node),
        executed=text(node.executed),
        received=text(node.received),
        receiver_running=node.receiving,
        receiver_connected=connected(s, 1 - i),
        applier_running=node.applying,
        writable=node.writable,
        gate_open=node.gate,
        stalled_s=LONG_S if node.tail and not connected(s, i) else 0.0,
        unheard_s=LONG_S if unheard else 0.0,
        token=theirs.token if follows and proven else "",
        errant=text(errant),
        unable="incarnation" if coming and heir != incarnation(i, node) else "",
    )
