"""What must hold at every step. Each check raises Violation with a sentence; the timeline is the world's trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.core.errors import InvariantBroken
from orchestrator.core.gtid import GtidSet
from orchestrator.core.invariants import check_step, older
from orchestrator.core.model import Cluster, LeaderRecord, Lease, LeaseState, Mode, Phase, Sync, SyncState
from orchestrator.core.ports import Stored
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Kind, Pause, Request
from tests.sim.carried import decode
from tests.sim.mysqld import Commit, Numbers, Server, values
from tests.sim.returns import Returns

if TYPE_CHECKING:
    from tests.sim.kernel import Kernel
    from tests.sim.node import Node
    from tests.sim.world import World

ALONE_SEEN_S = 1.0  # from a commit that went alone until nobody is promotable
PAUSE_SEEN_S = 2.0  # a pause that is younger may not have reached the leader


class Violation(Exception):  # noqa: N818 - a promise is broken, nothing went wrong here
    """A promise was broken."""


class Checker:
    """Follows one world; told by it of everything that matters."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.desired: Cluster | None = None
        self.forgiven: set[int] = set()  # values that a forced failover gave up
        self.may_diverge = False  # loss was accepted, or an administrator wrote where nobody may
        self.rules: dict[str, int] = {}
        self.when_rule: dict[str, Callable[[], None]] = {}  # for stories
        self.written_by_hand = False
        self.returns = Returns(self)
        self._paused_since: float | None = None
        self._term = 0
        self._forced: str | None = None  # loss was accepted until this node opens
        self._adopted = False
        self._going_back = False
        self._lost_leases: dict[str, Lease] = {}  # by node: what ZooKeeper forgot
        self._went_back = float("-inf")
        self._alone: dict[int, float] = {}  # values that semi-sync let go by itself, or a stranger acknowledged: when

    def watch(self, node: Node) -> None:
        """Be told of whatever gives power on that node, or lets commits go."""
        node.kernel.opened = self.gate_opened
        node.server.made_writable = self.made_writable
        node.server.lets_go = self.relaxed
        node.server.receiver.started = self.receiver_started
        node.server.logs = self.returns.logged

    def fail(self, text: str) -> None:
        self.world.note(f"VIOLATION {text}")
        raise Violation(text)

    # --- records

    @contextmanager
    def going_back(self) -> Iterator[None]:
        """Meanwhile older records come again: no step of anybody's."""
        self._lost_leases = {name: self._lease(node) for name, node in self.world.nodes.items()}
        self._went_back = self.world.time.now
        self._going_back = True
        yield
        self._going_back = False

    def written(self, path: str, stored: Stored | None) -> None:
        paths = self.world.paths
        if path == paths.desired and stored is not None:
            new = decode(Cluster, stored.data)
            self.desired = new if self._going_back else self.desired
            if not self._going_back:
                self._decided(new)
        elif path == paths.returning and stored is not None:
            record = decode(Reconcile, stored.data) if stored.data else None
            self.returns.written(record, going_back=self._going_back)
        elif path == paths.leader and stored is not None and stored.data:
            self._term = decode(LeaderRecord, stored.data).term
        elif path == paths.pause and stored is not None:
            active = decode(Pause, stored.data).active
            self._paused_since = self.world.time.now if active else None

    def _decided(self, new: Cluster) -> None:
        old, self.desired = self.desired, new
        if old is None:
            return
        self.rules[new.rule] = self.rules.get(new.rule, 0) + 1
        promotable = new.promotable.incarnation if new.promotable else "-"
        self.world.note(f"{new.rule} epoch={new.epoch}.{new.seq} {new.primary} {new.phase} {new.mode} {promotable}")
        try:
            check_step(old, new)
        except InvariantBroken as error:
            self.fail(str(error))
        told = self.when_rule.get(new.rule)
        if told is not None:
            told()
        paused = self._paused_since
        if new.rule in ("F1", "F5") and paused is not None and self.world.time.now - paused > PAUSE_SEEN_S:
            self.fail(f"{new.rule} began while paused")
        if new.rule == "U2":
            self._certified(new)
        if new.term != self._term and new.rule != "new":
            self.fail(f"C1: {new.rule} was written in term {new.term}, the present one is {self._term}")
        if new.rule == "F6" and self._adopts(new):
            self._adopted = True
        elif new.rule == "F6":
            self._forced = new.primary
            self.may_diverge = True
        if new.rule in ("F1", "F5", "S2"):
            self._forgive(new)

    def _adopts(self, new: Cluster) -> bool:
        stored = self.world.store.now(self.world.paths.request(new.cause))
        return stored is not None and decode(Request, stored.data).kind is Kind.ADOPT

    def _forgive(self, new: Cluster) -> None:
        """The residual risk of L5 and L7: what went alone can only be seen afterwards, and takes a moment."""
        held = {txn.value for txn in self.world.nodes[new.primary].server.content_to_be()}
        for value, at in self._alone.items():
            if value not in held and (self.world.swarm.kinds or self.world.time.now - at < ALONE_SEEN_S):
                self.forgiven.add(value)

    def _certified(self, new: Cluster) -> None:
        """Everything that was ever acknowledged is on the node that is promotable from now on."""
        self.returns.certified(self.world.nodes[new.primary].peer)
        server = self.world.nodes[new.primary].peer.server
        held = {txn.value for txn in server.content_to_be()}
        now = self.world.time.now
        unseen = {value for value, at in self._alone.items() if now - at < ALONE_SEEN_S}
        lost = set(self.world.meter.ok) - held - self.forgiven - unseen
        if lost:
            self.fail(f"C6: {server.node} is certified without acknowledged values {sorted(lost)[:5]}")

    # --- power

    def gate_opened(self, kernel: Kernel) -> None:
        node = self.world.nodes[kernel.node]
        other = node.peer
        self.world.note(f"gate of {kernel.node} opens")
        if other.kernel.is_open:
            self.fail(f"two answerers: {kernel.node} opens while the gate of {other.name} is open")
        if node.server.receiver.on:
            self.fail(f"I7: {node.name} opens with a running receiver")
        lease, lost = self._lease(node), self._lost_leases.get(node.name, Lease())
        # What it was answered before ZooKeeper forgot it gives power for A all the same: every fence waits longer.
        counts = self.world.time.now - self._went_back < lost.timing.authorised_s
        if not (_gives_power(lease, node) or (counts and _gives_power(lost, node))):
            self.fail(f"I6: {node.name} opens as {node.owner}, its lease is {lease.state} by {lease.owner}")
        if node.server.running and not node.server.frozen:
            self._holds_all(node)

    def _lease(self, node: Node) -> Lease:
        stored = self.world.store.now(self.world.paths.lease(node.name))
        return decode(Lease, stored.data) if stored else Lease()

    def _holds_all(self, node: Node) -> None:
        lost = set(self.world.meter.ok) - values(node.server) - self.forgiven
        if self._forced == node.name:
            self.forgiven |= lost
            self._forced = None
        elif lost:
            self.fail(f"{node.name} opens without acknowledged values {sorted(lost)[:5]}")

    def made_writable(self, server: Server) -> None:
        node = self.world.nodes[server.node]
        self.world.note(f"mysqld of {server.node} is writable")
        self.returns.whole(node, "is made writable")
        if server.receiver.on:
            self.fail(f"I3: {server.node} is made writable with a running receiver")
        desired, opened = self.desired, node.memory.opened()
        epoch, drained = node.memory.epoch()[0], node.memory.promotion() or {}
        was_primary = opened is not None and opened[0] == epoch
        named = desired is not None and desired.primary == node.name and desired.epoch == epoch
        if not named or not desired.heir or was_primary:
            return
        # What the heir had received was executed and on disk before it restarted: then nothing of it is lost.
        by_heir = drained.get("epoch") == epoch and drained["incarnation"] == desired.heir
        if node.incarnation() != desired.heir and not by_heir:
            self.fail(f"I12: {node.name} is opened as {node.incarnation()}, certified was {desired.heir}")

    def relaxed(self, server: Server) -> None:
        """Called before commits may be acknowledged without a copy. Where nothing can be written none ever is."""
        told = any(commit.txn.value > 0 for commit in server.pipeline)  # others are ours, or an administrator's
        if server.read_only and server.super_read_only and not told:
            return
        stored = self.world.store.now(self.world.paths.sync(self.world.nodes[server.node].name))
        state = decode(Sync, stored.data).state if stored and stored.data else SyncState.NONE
        self.world.note(f"mysqld of {server.node} relaxes semi-sync")
        if state is not SyncState.RELAXED:
            self.fail(f"I5: {server.node} relaxes while its record says {state}")

    def receiver_started(self, server: Server) -> None:
        self.returns.whole(self.world.nodes[server.node], "starts its receiver")
        if server.writable and self.world.nodes[server.node].kernel.is_open:
            self.fail(f"I7: the receiver of {server.node} starts while it serves")

    # --- data

    def acknowledged(self, node: Node, commit: Commit) -> None:
        """A client is about to be told that its value is safe."""
        desired, peer = self.desired, node.peer
        assert desired is not None
        txn, disk = commit.txn, peer.server.disk
        held = disk.received.has(txn.uuid, txn.number) or disk.executed.has(txn.uuid, txn.number)
        if held:
            return
        if node.server.went_alone(commit):
            self._alone[txn.value] = self.world.time.now
            return
        # A record from before ZooKeeper lost writes gives no power to whoever remembers a later one.
        if older((desired.epoch, desired.seq), peer.memory.epoch()):
            return
        if desired.primary != node.name and desired.heir is not None:
            self.fail(f"{node.name} acknowledges value {txn.value}, which {desired.primary}, its successor, lacks")
        if desired.promotable is not None and desired.promotable.incarnation == peer.incarnation():
            self.fail(f"I2: {node.name} acknowledges value {txn.value}, which {peer.name}, promotable, lacks")

    # --- the end

    def healthy(self) -> str:
        """Why the pair is not healthy; empty if it is."""
        desired, world = self.desired, self.world
        assert desired is not None
        primary = world.nodes[desired.primary]
        standby = primary.peer
        if desired.phase is not Phase.STEADY or desired.mode is not Mode.SYNC:
            return f"{desired.phase} {desired.mode} for {world.time.now:.1f}"
        if desired.promotable is None or desired.promotable.incarnation != standby.incarnation():
            return f"{standby.name} is not promotable"
        if not (primary.kernel.answers and primary.server.writable):
            return f"{primary.name} does not serve"
        if world.time.now - world.meter.last_ok > 4.0:
            return "clients do not get through"
        return ""

    def errant(self) -> str:
        """What the standby has and the primary never saw: only a person, or a later release, can settle it."""
        assert self.desired is not None
        primary = self.world.nodes[self.desired.primary]
        standby = primary.peer
        ours = GtidSet.parse(standby.server.disk.executed.text())
        seen = GtidSet.parse(primary.server.disk.executed.text())
        if not ours <= seen:  # the standby may commit before the primary does: what is logged there will be
            logged = Numbers()
            for txn in primary.server.disk.binlog:
                logged.add(txn.uuid, txn.number)
            seen = seen | GtidSet.parse(logged.text())
        return str(ours - seen) or standby.server.receiver.error

    def excused(self) -> bool:
        """Whether the standby may have what the primary never saw, though nobody chose that: each of it went alone.

        Or it was told to nobody, and an adoption forgot from whom power was taken, and so whose log may be cut.
        """
        assert self.desired is not None
        primary = self.world.nodes[self.desired.primary].server
        standby = self.world.nodes[self.desired.primary].peer.server
        own = standby.content().items() - primary.content().items()
        return bool(own) and all(
            gtid in standby.alone or (self._adopted and value not in self.world.meter.ok) for gtid, value in own
        )

    def final(self) -> None:
        """Everything that a client was told is on the primary."""
        assert self.desired is not None
        primary = self.world.nodes[self.desired.primary]
        lost = set(self.world.meter.ok) - values(primary.server) - self.forgiven
        if lost:
            self.fail(f"acknowledged values {sorted(lost)[:5]} ({len(lost)}) are not on {primary.name} at the end")
        self.returns.final(primary)


def _gives_power(lease: Lease, node: Node) -> bool:
    """A revoke may have come in between: that is what the fence wait is for."""
    return lease.state in (LeaseState.HELD, LeaseState.REVOKED) and lease.owner == node.owner
