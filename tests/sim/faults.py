"""The plan of one seed's faults, and what each does to the world. Numbered, so that shrinking can leave some out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.core.model import DEFAULT, FAST, NodeName, Policy
from orchestrator.core.ports import SetData
from orchestrator.core.requests import Kind, Pause, Request
from tests.sim.carried import encode
from tests.sim.chance import seeded
from tests.sim.network import ZK
from tests.sim.swarm import Swarm

if TYPE_CHECKING:
    from tests.sim.node import Node
    from tests.sim.world import World


@dataclass(frozen=True)
class Fault:
    number: int
    at: float
    kind: str
    seconds: float
    which: float  # decides among nodes, orchestrators, links: in [0, 1)
    other: float


def plan(swarm: Swarm) -> list[Fault]:
    rng = seeded(f"faults-{swarm.seed}")
    kinds, weights = list(swarm.kinds), list(swarm.kinds.values())
    faults, at = [], 5.0
    while kinds:
        at += rng.expovariate(1 / swarm.fault_every_s)
        if at >= swarm.storm_s:
            break
        kind = rng.choices(kinds, weights)[0]
        lengths = [(0.05, 1.0), (1.0, 4.0), (4.0, 20.0)][: 3 if swarm.long_faults else 2]
        seconds = rng.uniform(*rng.choices(lengths, (4, 4, 2)[: len(lengths)])[0])
        faults.append(Fault(len(faults), at, kind, seconds, rng.random(), rng.random()))
    return [fault for fault in faults if fault.number not in swarm.dropped]


class Injector:
    """Carries faults out, and ends them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.injected: dict[str, int] = {}
        self._requests = self._rebuilt = 0
        self._by_hand = -1  # heartbeats have this value

    def schedule(self, faults: list[Fault]) -> None:
        for fault in faults:
            self.world.time.at(fault.at, lambda fault=fault: self._begin(fault))

    def _begin(self, fault: Fault) -> None:
        self.injected[fault.kind] = self.injected.get(fault.kind, 0) + 1
        self.world.note(f"fault {fault.number} {fault.kind} {fault.seconds:.2f} s")
        getattr(self, "_" + fault.kind.replace("-", "_"))(fault)

    def _later(self, fault: Fault, call) -> None:
        def end() -> None:
            self.world.note(f"fault {fault.number} {fault.kind} ends")
            call()

        self.world.time.after(fault.seconds, end)

    def _in_the_storm(self, after_s: float, call) -> None:
        """Nothing begins in the quiet ending."""
        self.world.time.after(after_s, lambda: self.world.calm or call())

    def _node(self, fault: Fault) -> Node:
        """The primary somewhat more often than the standby."""
        nodes = self.world.nodes
        desired = self.world.checker.desired
        assert desired is not None
        primary = nodes[desired.primary]
        node = primary if fault.which < 0.6 else primary.peer
        self.world.note(f"  at {node.name}")
        return node

    def _orchestrator(self, fault: Fault):
        names = list(self.world.deciding)
        return self.world.deciding[names[int(fault.which * len(names))]]

    # --- processes

    def _agent_kill(self, fault: Fault) -> None:
        node = self._node(fault)
        node.kill_agent()
        self._later(fault, node.start_agent)

    def _both_agents(self, fault: Fault) -> None:
        for node in self.world.nodes.values():
            node.kill_agent()
            self._later(fault, node.start_agent)

    def _agent_stop(self, fault: Fault) -> None:
        process = self._node(fault).process
        if process is not None:
            process.freeze()
            self._later(fault, process.thaw)

    def _mysqld_kill(self, fault: Fault) -> None:
        self._node(fault).server.kill()

    def _both_mysqld(self, fault: Fault) -> None:
        one = self._node(fault)
        one.server.kill()
        self._in_the_storm(min(fault.seconds, 1.0), one.peer.server.kill)

    def _standby_then_primary(self, fault: Fault) -> None:
        desired = self.world.checker.desired
        assert desired is not None
        primary = self.world.nodes[desired.primary]
        primary.peer.server.kill()
        self._in_the_storm(fault.seconds, primary.server.kill)

    def _mysqld_stop(self, fault: Fault) -> None:
        server = self._node(fault).server
        life = server.life
        server.freeze()
        self._later(fault, lambda: server.life == life and server.thaw())

    def _client_lock(self, fault: Fault) -> None:
        server = self._node(fault).server
        server.locked_until = self.world.time.now + fault.seconds

    def _host_loss(self, fault: Fault) -> None:
        node = self._node(fault)
        if node.kernel.powered:
            node.lose_power()
            self._later(fault, node.boot)

    def _orchestrator_kill(self, fault: Fault) -> None:
        if fault.other > 0.6:
            self.once_at("F3", lambda: self.world.time.after(0.0, lambda: self.nobody_decides(6.0 + fault.seconds)))
            self._in_the_storm(fault.seconds + 2.0, lambda: self._mysqld_kill(fault))
            return
        one = self._orchestrator(fault)
        one.kill()
        self._later(fault, one.start)

    def nobody_decides(self, seconds: float) -> None:
        """While a node returns: by the time somebody does, it may be ready for its certificate."""
        for one in self.world.deciding.values():
            one.kill()
            self.world.time.after(seconds, one.start)

    def _orchestrator_stop(self, fault: Fault) -> None:
        process = self._orchestrator(fault).process
        if process is not None:
            process.freeze()
            self._later(fault, process.thaw)

    def _rules_flushed(self, fault: Fault) -> None:
        """Only while nothing is shut that must be: without rules every host with the address answers, by assumption 6
        nobody does that; so it happens to the node that serves."""
        for node in self.world.nodes.values():
            if node.kernel.answers:
                node.kernel.flush(sets=fault.other < 0.5)

    def _disk_full(self, fault: Fault) -> None:
        """Binary log and relay logs: commits hang, a receiver waits, a start fails."""
        server = self._node(fault).server
        server.disk_full = True
        self._later(fault, server.space_again)

    def _state_disk_full(self, fault: Fault) -> None:
        memory = self._node(fault).memory
        memory.full = True
        self._later(fault, lambda: setattr(memory, "full", False))

    # --- administrators

    def _errant_write(self, fault: Fault) -> None:
        desired = self.world.checker.desired
        assert desired is not None
        self.write_by_hand(self.world.nodes[desired.primary].peer)

    def write_by_hand(self, node: Node) -> None:
        """On a node that is not primary: nobody else will ever have it."""
        if (node.server.uuid, node.server.next_number()) in self.world.checker.returns.first:
            return  # it would take a number that a return has freed and not used up yet, which nothing can hold back
        self.world.note(f"somebody writes on {node.name}")
        self.world.checker.may_diverge = self.world.checker.written_by_hand = True
        self._by_hand -= 1
        node.server.write_by_hand(self._by_hand)

    def _relay_reset(self, fault: Fault) -> None:
        desired = self.world.checker.desired
        assert desired is not None
        self.world.nodes[desired.primary].peer.server.receiver.reset()

    def _settings(self, fault: Fault) -> None:
        """SET PERSIST: at once, and at each start until it is undone."""
        server = self._node(fault).server
        server.settings, server.durable = {"sync_binlog": "0"}, False

        def undone() -> None:
            server.settings, server.durable = {}, True

        self._later(fault, undone)

    def _refused_login(self, fault: Fault) -> None:
        """A rotated password, or no free connection: clients go on."""
        server = self._node(fault).server
        server.refuses = 1045 if fault.other < 0.5 else 1040
        self._later(fault, lambda: setattr(server, "refuses", None))

    def _semisync_gives_up(self, fault: Fault) -> None:
        self._node(fault).server.give_up()

    def _third_replica(self, fault: Fault) -> None:
        """It connects while the standby is there; later it leaves."""
        server = self._node(fault).server
        if server.source_on and server.streams:
            server.strangers += 1
            life = server.life
            self._later(fault, lambda: server.life == life and setattr(server, "strangers", server.strangers - 1))

    def _wall_clock(self, fault: Fault) -> None:
        clock = self._node(fault).clock
        step_s = 7200 * (fault.other - 0.5)
        clock.stepped_s += step_s
        self._later(fault, lambda: setattr(clock, "stepped_s", clock.stepped_s - step_s))

    # --- network

    def _places(self) -> list[str]:
        return [*self.world.nodes, ZK, *dict.fromkeys(one.host for one in self.world.deciding.values()),
                *(client.name for client in self.world.clients)]  # fmt: skip

    def _cut(self, fault: Fault, links: list[tuple[str, str]]) -> None:
        network = self.world.network
        self.world.note(f"  cut {', '.join('>'.join(link) for link in links)}")
        for link in links:
            network.cut(*link)
        self._later(fault, lambda: [network.heal(*link) for link in links])

    def _pair_of_places(self, fault: Fault) -> tuple[str, str]:
        node = self._node(fault).name
        others = [place for place in self._places() if place != node]
        return node, others[int(fault.other * len(others))]

    def _link_two_way(self, fault: Fault) -> None:
        one, other = self._pair_of_places(fault)
        self._cut(fault, [(one, other), (other, one)])

    def _link_one_way(self, fault: Fault) -> None:
        one, other = self._pair_of_places(fault)
        self._cut(fault, [(one, other) if fault.which * 10 % 1 < 0.5 else (other, one)])

    def _pair_cut(self, fault: Fault) -> None:
        """The node from everything, or from all but the clients."""
        node = self._node(fault).name
        others = [place for place in dict.fromkeys(self._places()) if place != node]
        if fault.other < 0.5:
            others = [place for place in others if not place.startswith("client")]
        self._cut(fault, [link for other in others for link in ((node, other), (other, node))])

    # --- ZooKeeper

    def _zookeeper_cut(self, fault: Fault) -> None:
        node = self._node(fault).name
        self._cut(fault, [(node, ZK), (ZK, node)])

    def _zookeeper_stall(self, fault: Fault) -> None:
        self.stall(fault.seconds, cut=fault.other >= 0.3)

    def stall(self, seconds: float, *, cut: bool) -> None:
        """Nothing is written; followers drop their clients while they elect, or all just hangs."""
        store = self.world.store
        if not store.available:
            return
        store.available = False
        for client in self.world.zookeeper_clients():
            client.cut() if cut else client.trouble_begins()

        def end() -> None:
            self.world.note("ZooKeeper is back")
            store.available = True
            for client in self.world.zookeeper_clients():
                client.trouble_ends()

        self.world.time.after(seconds, end)

    def _zookeeper_stale(self, fault: Fault) -> None:
        """One client's follower is cut from its leader: it answers reads from what it knew."""
        clients = self.world.zookeeper_clients()
        client = clients[int(fault.other * len(clients))]
        if client.connected:
            client.stale_since = self.world.time.now
            client.trouble_begins()

            def end() -> None:
                client.stale_since = None
                client.trouble_ends()

            self._later(fault, end)

    def _zookeeper_restored(self, fault: Fault) -> None:
        """Only while both agents know what is lost: one that never saw a takeover cannot refuse the older record."""
        desired = self.world.checker.desired
        assert desired is not None
        if all(node.memory.epoch() == (desired.epoch, desired.seq) for node in self.world.nodes.values()):
            self.restore(fault.seconds)

    def restore(self, lost_s: float) -> None:
        """The writes of the last seconds are lost. Whoever has seen them is turned away, ends and starts anew."""
        world = self.world
        if not world.store.available:
            return
        as_of = max(0.0, world.time.now - lost_s)
        world.note(f"ZooKeeper is restored as of {as_of:.3f}")
        for client in world.zookeeper_clients():
            client.turn_away()
        with world.checker.going_back():
            world.store.restore(as_of)

    # --- operators

    def _switchover(self, fault: Fault) -> None:
        self.request(Kind.SWITCHOVER)

    def _forced_failover(self, fault: Fault) -> None:
        """Somebody loses patience: the primary is lost, and a little later loss is accepted, or while it moves."""
        if fault.which > 0.7:
            moving = "S1" if fault.other < 0.5 else "F1"
            self.once_at(moving, lambda: self.world.time.after(fault.other / 4, lambda: self.request(Kind.FAILOVER)))
            self._switchover(fault) if moving == "S1" else self._host_loss(fault)
            return
        if fault.which < 0.4:
            self._mysqld_kill(fault)
        else:
            self._host_loss(fault)
        self.world.time.after(fault.seconds * fault.other, lambda: self.request(Kind.FAILOVER))

    def once_at(self, rule: str, call: Callable[[], None]) -> None:
        """When the rule is written next, unless something else waits for that."""

        def once() -> None:
            self.world.checker.when_rule.pop(rule)
            call()

        self.world.checker.when_rule.setdefault(rule, once)

    def request(self, kind: Kind, to: NodeName | None = None) -> None:
        """Of the standby, if nothing else is said."""
        world, desired = self.world, self.world.checker.desired
        assert desired is not None
        self._requests += 1
        name = f"r{self._requests}"
        other = to or world.nodes[desired.primary].peer.name
        request = Request(name, kind, other, "a test", "olga", desired.epoch)
        world.store.put(world.paths.request(name), encode(request))

    def _policy(self, fault: Fault) -> None:
        """Other timings, under way."""
        self.put_policy(DEFAULT if fault.which < 0.5 else FAST)

    def put_policy(self, policy: Policy) -> None:
        self._set(self.world.paths.policy, policy)

    def _pause(self, fault: Fault) -> None:
        self.put_pause(Pause(active=True, for_s=0.0, reason="a test", actor="olga"))
        self._later(fault, lambda: self.put_pause(Pause()))

    def put_pause(self, pause: Pause) -> None:
        self._set(self.world.paths.pause, pause)

    def _set(self, path: str, record: Policy | Pause) -> None:
        self.world.store.apply((SetData(path, encode(record), -1),), 0)

    def rebuild(self, node: Node) -> None:
        """A person gives up what only this node has: it gets a copy of the other's data directory."""
        self.world.note(f"{node.name} is rebuilt from {node.peer.name}")
        node.kill_agent()
        node.server.vanish()
        self.world.checker.returns.given_up(node)
        node.server.disk = node.peer.server.disk.copied(node.server.disk)
        self._rebuilt += 1
        node.server.uuid = f"{node.server.uuid[:-4]}{self._rebuilt:04d}"  # as no copy brings one
        node.start_agent()

    def heal(self) -> None:
        """The quiet ending begins: everything is as it should be, and nothing comes after."""
        world = self.world
        world.note("quiet")
        world.network.heal_all()
        world.store.available = True
        self.put_pause(Pause())
        for node in world.nodes.values():
            node.boot()
            node.start_agent()
            assert node.process is not None
            node.process.thaw()
            node.server.thaw()
            node.server.locked_until = 0.0
            node.server.refuses, node.server.settings, node.server.durable = None, {}, True
            node.server.strangers, node.memory.full = 0, False
            node.server.space_again()
        for one in world.deciding.values():
            one.start()
            assert one.process is not None
            one.process.thaw()
        for client in world.zookeeper_clients():
            client.stale_since = None
            client.trouble_ends()
