"""One node of the pair: its host, its mysqld, and the agent process with the product's own loops."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from agents.executor import Executor
from agents.guard import Guard
from agents.lease import LeaseKeeper
from agents.loop import Agent
from agents.reconcile.observing import Unverified
from agents.server import Server
from agents.steps import Source, Steps
from agents.telling import Telling
from orchestrator.coordination.paths import Paths
from orchestrator.core.model import HostFacts, NodeName, Phase
from tests.sim.database import SimDatabase
from tests.sim.health import SimHealth, SimMemory, SimSupervisor, capture
from tests.sim.kept import Kept
from tests.sim.kernel import Clock, Kernel, SimGate, SimVip
from tests.sim.mirror import SimMirror
from tests.sim.mysqld import Server as Mysqld
from tests.sim.repair import SimRepair
from tests.sim.replication import Receiver
from tests.sim.strands import Event, Process, Strand
from tests.sim.zookeeper import Client

if TYPE_CHECKING:
    from tests.sim.world import World

WATCH_S = 0.001  # from the death of mysqld until the process watch tells the keeper


class Node:
    """What has the name db-a or db-b, over all its lives."""

    def __init__(self, world: World, name: NodeName, uuid: str) -> None:
        self.world, self.name = world, name
        self.kernel = Kernel(world.time, world.network, world.rng(f"kernel-{name}"), name)
        self.kernel.arp_lost = world.swarm.announce_lost
        self.server = Mysqld(world.time, world.network, world.rng(f"mysqld-{name}"), name, uuid)
        self.server.start_s, self.server.apply_s = world.swarm.start_s, world.swarm.apply_s
        self.server.batch = world.swarm.batch
        self.server.when_exiting.append(self._mysqld_exits)
        Receiver(self.server)
        self.clock = Clock(world.time, world.rng(f"clock-{name}"))
        self.memory, self.kept = SimMemory(), Kept()
        self.process: Process | None = None
        self.keeper: LeaseKeeper | None = None
        self.client: Client | None = None
        self._mirror: SimMirror | None = None
        self._lives = 0
        self._adversary = world.rng(f"adversary-{name}") if world.swarm.adversary else None

    @property
    def peer(self) -> Node:
        return next(node for node in self.world.nodes.values() if node is not self)

    @property
    def owner(self) -> str:
        """By which its lease names the present agent."""
        return f"{self.name}/{self._lives}"

    def incarnation(self) -> str:
        return f"{self.server.uuid}/{self.server.life}/{self.memory.relay_counter()}"

    def start_agent(self) -> None:
        world, name, peer = self.world, self.name, self.peer.name
        if self.process is not None or not self.kernel.powered:
            return
        self._lives += 1
        rng = world.rng(f"agent-{name}-{self._lives}")
        process = self.process = Process(world.time, f"agent-{name}")
        policy, paths, clock = world.swarm.policy, world.paths, self.clock
        gate, keeper_vip = SimGate(self.kernel, self._lose_processor), SimVip(self.kernel, lambda: self.peer.kernel)
        if not gate.intact():
            keeper_vip.drop()
            gate.load()
        client = self.client = Client(
            world.time, world.network, world.store, name, process, clock, rng,
            stall_s=min(0.5, policy.timing.authorised_s / 2), lag_s=world.swarm.follower_lag_s,
        )  # fmt: skip
        client.ends = self._history_lost
        news = Event()
        self._mirror = SimMirror(
            world.time, client, clock, rng,
            [paths.desired, paths.policy, paths.sync(name), paths.sync(peer), paths.report(peer), paths.returning,
             paths.decisions],
            wake=news.set,
            late_s=world.swarm.mirror_late_s, lost=world.swarm.watch_lost,
        )  # fmt: skip
        keeper = self.keeper = LeaseKeeper(
            paths.lease(name), self.owner, client,
            Guard(gate, keeper_vip, clock, policy.address_lifetime_s), clock, policy.timing, changed=news.set,
        )  # fmt: skip
        self._threads(process, client, clock, keeper, news, rng, paths)

    def _threads(
        self, process: Process, client: Client, clock: Clock, keeper: LeaseKeeper, news: Event, rng: Random,
        paths: Paths,
    ) -> None:  # fmt: skip
        world, name, policy = self.world, self.name, self.world.swarm.policy
        vip, supervisor = SimVip(self.kernel, lambda: self.peer.kernel), SimSupervisor(self.server)
        database = SimDatabase(self.server, rng, world.swarm.slow_statement)
        steps = Steps(
            name, paths, client, keeper, vip, supervisor, database, self.memory,
            Source(self.peer.name, 3306, "kembar_repl", "", None), clock, policy.address_lifetime_s,
            lambda index, epoch, primary, own, doubt: capture(self.server, self.kept, epoch, primary, own, doubt),
            lambda: None,  # nobody returns by a copy here
        )  # fmt: skip
        health = SimHealth(self.server, clock, process, rng, hang_s=policy.hang_s)
        server, executor = Server(database, supervisor, self.memory, clock, database.preflight), Executor(steps, clock)
        telling = Telling(executor, health, server, self.memory, clock, lambda facts: HostFacts())
        repair = SimRepair(self, process, rng, news.set)
        agent = Agent(
            name, self.peer.name, self.peer.name, paths, clock, client, self._mirror, keeper, vip,
            server, health, self.memory, steps, executor, telling,
            repair, Unverified(), news,
        )  # fmt: skip
        world.breaking(process.spawn("repair", repair.worker.run), self, (self._crash, self.server.kill))
        for title, run in (("keeper", keeper.run), ("tick", agent.run)):
            world.pausing(process.spawn(title, run), rng, (self._crash, self.server.kill))

    def kill_agent(self) -> None:
        if self.process is None:
            return
        self.process.kill()
        assert self.client is not None and self._mirror is not None
        self._mirror.close()
        self.client.close()
        self.process = self.keeper = None

    def _crash(self) -> None:
        self.world.note(f"the agent of {self.name} is killed where it stands")
        self.kill_agent()
        self.world.time.after(self.world.rng(f"crash-{self._lives}").uniform(0.02, 3.0), self.start_agent)

    def _history_lost(self) -> None:
        self.kill_agent()
        self.world.time.after(0.5, self.start_agent)

    def lose_power(self) -> None:
        self.kill_agent()
        self.kernel.power_off()
        self.server.vanish()

    def boot(self) -> None:
        """Gate rules come before everything else; the agent starts mysqld."""
        if self.kernel.powered:
            return
        self.kernel.powered = True
        self.kernel.load()
        self.server.boot += 1
        self.start_agent()

    def strands(self) -> list[Strand]:
        return self.process._strands if self.process else []

    def _mysqld_exits(self) -> None:
        process, keeper = self.process, self.keeper
        if process is not None and keeper is not None:
            tell = lambda: keeper.exited(self.clock.holder_now())  # noqa: E731
            self.world.time.after(WATCH_S, lambda: process.do(tell))

    def _lose_processor(self, action: str) -> None:
        """Where theorem B is tight: between the last check of the horizon and the system call, then for long."""
        world, keeper, process = self.world, self.keeper, self.process
        strand = world.time.strand
        if world.calm or strand is None or keeper is None or process is None:
            return
        if not self._adversary or self._adversary.random() >= world.swarm.adversary:
            return
        if not any(where.startswith(action) for where in world.swarm.adversary_at):
            return
        rng, timing = self._adversary, world.swarm.policy.timing
        desired = world.checker.desired
        again = desired is not None and desired.phase is Phase.STEADY
        if action == "arm":
            strand.sleep(rng.uniform(1.0, 2.5) * timing.fence_wait_s if again else 0.0001)
            return
        if action == "open" and "open again" in world.swarm.adversary_at:
            strand.sleep(rng.uniform(1.0, 2.5) * timing.fence_wait_s if again else 0.0001)
            return
        if action == "open":
            strand.sleep(rng.choice((0.5, 2.5)) * rng.random() * timing.fence_wait_s)
            return
        sent = keeper.power().sent
        age_s = self.clock.holder_now() - (sent if sent is not None else 0.0)
        if age_s < timing.authorised_s - timing.renew_every_s:
            return
        if "renew late" in world.swarm.adversary_at:
            world.note(f"the keeper of {self.name} is paused before a renewal")
            strand.sleep(rng.uniform(0.8, 2.5) * timing.fence_wait_s)
            return
        world.note(f"the keeper of {self.name} is paused before a renewal, then stopped")
        told = world.checker.when_rule.get("keeper paused")
        if told is not None:
            told()
        strand.sleep((self.kernel.lease_until - world.time.now) * rng.uniform(0.85, 1.01))
        world.time.after(0.0, process.freeze)
        world.time.after(rng.uniform(1.0, 6.0), process.thaw)
