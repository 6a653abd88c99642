"""One simulated pair with everything around it, from a seed: built, stormed at, and left in peace to recover."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from types import SimpleNamespace
from typing import Any

import agents.lease
import agents.reconcile.worker
import orchestrator.coordination.election
import orchestrator.loop
import orchestrator.reconciler
import orchestrator.recorder
from orchestrator.coordination.layout import first_record
from orchestrator.coordination.paths import Paths
from orchestrator.core import wire
from orchestrator.core.history import Recent
from orchestrator.core.model import Lease, NodeName, Report, Sync
from orchestrator.core.requests import Pause
from tests.sim import carried, strands
from tests.sim.carried import encode
from tests.sim.chance import seeded
from tests.sim.checkers import Checker
from tests.sim.clients import Client, Meter
from tests.sim.coverage import Covered, pairs
from tests.sim.ending import QUIET_S, become_healthy
from tests.sim.faults import Injector, plan
from tests.sim.kernel import Kernel
from tests.sim.network import Network
from tests.sim.node import Node
from tests.sim.orchestrators import Deciding
from tests.sim.strands import Strand, Time
from tests.sim.swarm import Swarm
from tests.sim.zookeeper import Client as ZooKeeperClient
from tests.sim.zookeeper import Store

DB_A, DB_B = NodeName("db-a"), NodeName("db-b")
UUIDS = {DB_A: "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", DB_B: "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"}
PAUSES = ((0.01, 0.3), (0.3, 1.5), (1.5, 4.0))


@dataclass
class Result:
    seed: int
    simulated_s: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    transitions: dict[str, int] = field(default_factory=dict)
    pairs: set[tuple[str, str]] = field(default_factory=set)  # of kinds of faults that met
    violation: str = ""
    diverged: str = ""
    recovered_s: float = 0.0
    tried: int = 0
    ok: int = 0
    trace: list[tuple[float, str]] = field(default_factory=list)

    def hash(self) -> str:
        """Of all that happened, to compare two plays by."""
        return sha256(repr(self.trace).encode()).hexdigest()

    def timeline(self) -> str:
        return "\n".join(f"{when:9.3f} {text}" for when, text in self.trace)


class World:
    def __init__(self, swarm: Swarm) -> None:
        self.swarm, self.seed = swarm, swarm.seed
        self.time = Time()
        strands.running_in(self.time)
        self.trace: list[tuple[float, str]] = []
        self.calm = False
        self.ends_at = swarm.storm_s + 4 * QUIET_S
        self.paths, self.pair = Paths("sim"), (DB_A, DB_B)
        self.network = Network(self.time, self.rng("network"), swarm.latency_s, swarm.spikes)
        self.store = Store(self.time)
        self.meter, self.checker = Meter(), Checker(self)
        self.covered = Covered(self.paths.desired)
        self.store.written += [self.covered.written, self.checker.written]
        self._provision()
        self.nodes = {name: Node(self, name, UUIDS[name]) for name in self.pair}
        for node in self.nodes.values():
            node.server.peer = node.peer.server
            node.kernel.announced = self._announced
            node.kernel.noted = node.server.world_note = self.note
            self.checker.watch(node)
        hosts = ["o1", "o2", str(DB_A)]
        rng = self.rng("hosts")
        self.deciding = {}
        for number in range(swarm.orchestrators):
            host = hosts[number] if rng.random() < 0.8 else str(rng.choice(self.pair))
            name = host if host in self.pair else f"o{number + 1}"
            self.deciding.setdefault(name, Deciding(self, name, host))
        self.clients = [Client(self, f"client{n}", self.rng(f"client{n}")) for n in range(swarm.clients)]
        self.injector = Injector(self)

    def rng(self, purpose: str) -> Random:
        return seeded(f"{self.seed}-{purpose}")

    def note(self, text: str) -> None:
        self.trace.append((self.time.now, text))

    def zookeeper_clients(self) -> list[ZooKeeperClient]:
        found = [node.client for node in self.nodes.values() if node.process]
        found += [one._client for one in self.deciding.values() if one.process]
        return [client for client in found if client is not None]

    def pausing(self, strand: Strand, rng: Random, crashes: Sequence[Callable[[], None]] = ()) -> Strand:
        """Let it lose the processor at some of its boundaries, if this seed does that to threads of its kind.

        `crashes` are what may happen to the node there instead.
        """
        every = self.swarm.pause_every
        if every and strand.name in self.swarm.pause_kinds:

            def pauses(strand: Strand) -> float:
                strand.until_pause = int(rng.expovariate(1 / every)) + 1
                if self.calm:
                    return 0.0
                if crashes and rng.random() < self.swarm.crash_there:
                    self.time.after(0.0, rng.choice(crashes))
                    return 1e-6
                return rng.uniform(*rng.choice(PAUSES))

            strand.until_pause = int(rng.expovariate(1 / every)) + 1
            strand.pauses = pauses
        return strand

    def breaking(self, strand: Strand, node: Node, crashes: Sequence[Callable[[], None]]) -> None:
        """A repair is broken off at some of its boundaries, in most seeds: its agent, its mysqld, an orchestrator."""
        rng = self.rng(f"repair-{node.owner}")
        every = self.rng("repairs").choice((0, 400, 1500))
        if not every or not self.swarm.kinds:
            return

        def pauses(strand: Strand) -> float:
            strand.until_pause = int(rng.expovariate(1 / every)) + 1
            if self.calm:
                return 0.0
            if rng.random() < 0.2:
                return rng.uniform(0.05, 2.0)
            crash = rng.choice((*crashes, *(one._crash for one in self.deciding.values() if one.process)))
            self.time.after(0.0, crash)
            return 1e-6

        strand.until_pause = int(rng.expovariate(1 / every)) + 1
        strand.pauses = pauses

    def run(self) -> Result:
        """The storm, then the quiet ending."""
        result = Result(self.seed, trace=self.trace)
        for node in self.nodes.values():
            node.start_agent()
        for one in self.deciding.values():
            one.start()
        faults = plan(self.swarm)
        self.injector.schedule(faults)
        try:
            self.time.run(self.swarm.storm_s)
            self.calm = True
            self.time.at(self.time.now, self.injector.heal)
            become_healthy(self, result)
        except Exception as error:  # noqa: BLE001 - whatever the product raises is a finding
            result.violation = f"{type(error).__name__}: {error}"
            self.note(result.violation)
        result.simulated_s = self.time.now
        result.faults, result.rules = self.injector.injected, self.checker.rules
        result.transitions, result.pairs = self.covered.transitions, pairs(faults)
        result.tried, result.ok = self.meter.tried, len(self.meter.ok)
        self._end()
        return result

    def _end(self) -> None:
        for node in self.nodes.values():
            node.kill_agent()
        for one in self.deciding.values():
            one.kill()

    def _provision(self) -> None:
        paths, put = self.paths, self.store.put
        timing = self.swarm.policy.timing
        put(paths.desired, encode(first_record(DB_A)))
        put(paths.leader, b"")
        put(paths.policy, encode(self.swarm.policy))
        put(paths.pause, encode(Pause()))
        put(paths.recent, encode(Recent()))
        for path in (paths.returning, paths.kept, paths.decisions):
            put(path, b"")
        for node in self.pair:
            put(paths.lease(node), encode(Lease(timing=timing)))
            put(paths.sync(node), encode(Sync()))
            put(paths.report(node), encode(Report(node)))

    def _announced(self, kernel: Kernel) -> None:
        node = self.nodes[kernel.node]
        for client in self.clients:
            heard = self.network.up(node.name, client.name) and client._rng.random() >= self.swarm.announce_lost
            if heard:
                client.hear(node)


@contextmanager
def virtual_time() -> Iterator[None]:
    """The product's loops wait in virtual time: their events, futures and queues are ours meanwhile."""
    threading = SimpleNamespace(Event=strands.Event)
    places: list[tuple[Any, str, object]] = [
        (agents.lease, "threading", threading),
        (agents.lease, "Future", strands.Future),
        (agents.reconcile.worker, "threading", threading),
        (orchestrator.loop, "threading", threading),
        (orchestrator.coordination.election, "threading", threading),
        (orchestrator.reconciler, "queue", SimpleNamespace(SimpleQueue=strands.Queue)),
        (orchestrator.recorder, "queue", SimpleNamespace(SimpleQueue=strands.Queue)),
    ]
    for module in [module for name, module in sys.modules.items() if name.startswith(("agents.", "orchestrator."))]:
        places += [(module, "encode", carried.encode)] if module.__dict__.get("encode") is wire.encode else []
        places += [(module, "decode", carried.decode)] if module.__dict__.get("decode") is wire.decode else []
    before = [module.__dict__[name] for module, name, _ in places]
    logging.disable(logging.CRITICAL)
    gc.disable()  # nothing here is large, and looking for cycles takes a tenth of the time
    for module, name, ours in places:
        setattr(module, name, ours)
    try:
        yield
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
        for (module, name, _), theirs in zip(places, before, strict=True):
            setattr(module, name, theirs)


def play(seed: int, storm_s: float = 60.0, dropped: frozenset[int] = frozenset()) -> Result:
    with virtual_time():
        return World(Swarm.draw(seed, storm_s, dropped)).run()
