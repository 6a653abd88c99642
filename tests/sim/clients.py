"""Clients that write unique values through the VIP and remember what they were told."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.sim.mysqld import Commit

if TYPE_CHECKING:
    from tests.sim.node import Node
    from tests.sim.world import World

LOST_S = 3.0  # a client that hears nothing looks for the VIP anew


class Meter:
    """What all clients together were told."""

    def __init__(self) -> None:
        self.value = 0
        self.ok: dict[int, float] = {}
        self.tried = self.refused = 0
        self.last_ok = 0.0


class Client:
    """One place in the network from which values are written, one after the other."""

    def __init__(self, world: World, name: str, rng: Random) -> None:
        self.world, self.name, self._rng = world, name, rng
        self.neighbour: Node | None = None  # whose MAC it has for the VIP
        self._turn = 0
        world.time.after(rng.random(), self._write)

    def hear(self, node: Node) -> None:
        """A gratuitous ARP."""
        self.neighbour = node

    def _next(self, seconds: float) -> None:
        self._turn += 1
        turn = self._turn
        self.world.time.after(seconds * (0.5 + self._rng.random()), lambda: turn == self._turn and self._write())

    def _write(self) -> None:
        world = self.world
        if world.time.now > world.ends_at:
            return
        world.meter.tried += 1
        node = self.neighbour
        reached = node is not None and world.network.up(self.name, node.name) and node.kernel.powered
        if node is None or not reached or (not node.kernel.has_address and self._rng.random() < 0.5):
            self._resolve()
            self._next(0.5)
            return
        server = node.server
        if not node.kernel.is_open or not server.alive or server.offline:
            world.meter.refused += 1
            self._resolve()
            self._next(world.swarm.write_every_s)
            return
        world.meter.value += 1
        value = world.meter.value
        self._next(LOST_S)
        turn = self._turn

        def done(result: str, commit: Commit) -> None:
            heard = not commit.cut and node.kernel.is_open and world.network.up(node.name, self.name)
            if result == "ok" and heard:
                world.checker.acknowledged(node, commit)
                world.meter.ok[value] = world.meter.last_ok = world.time.now
            if turn == self._turn and (heard or result != "ok"):
                self._next(world.swarm.write_every_s)

        life = server.life

        def arrive() -> None:
            if server.life == life and server.running and node.kernel.is_open and not server.commit(value, done):
                world.meter.refused += 1
                self._next(world.swarm.write_every_s)

        world.time.after(0.0005, lambda: server.once_unfrozen(arrive))

    def _resolve(self) -> None:
        """An ARP question: whoever holds the address and may answer, answers."""
        world = self.world
        for node in world.nodes.values():
            if node.kernel.answers and world.network.both(self.name, node.name):
                self.neighbour = node
