"""One orchestrator process: the product's loop, watching, election and recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.coordination.election import Election
from orchestrator.loop import Look, Orchestrator
from orchestrator.reconciler import Reconciler
from orchestrator.recorder import Recorder
from orchestrator.watching import Watching
from tests.sim.kernel import Clock
from tests.sim.mirror import SimMirror
from tests.sim.strands import Process
from tests.sim.zookeeper import Client

if TYPE_CHECKING:
    from tests.sim.world import World


class Deciding:
    """What has the name of one orchestrator, over all its lives. It stands on a host of its own, or on a node's."""

    def __init__(self, world: World, name: str, host: str) -> None:
        self.world, self.name, self.host = world, name, host
        self.clock = Clock(world.time, world.rng(f"clock-{name}"))
        self.process: Process | None = None
        self.look: Look | None = None
        self._client: Client | None = None
        self._mirror: SimMirror | None = None
        self._lives = 0

    def start(self) -> None:
        world, paths = self.world, self.world.paths
        if self.process is not None:
            return
        self._lives += 1
        rng = world.rng(f"orchestrator-{self.name}-{self._lives}")
        process = self.process = Process(world.time, self.name)
        client = self._client = Client(
            world.time, world.network, world.store, self.host, process, self.clock, rng, stall_s=0.5,
            lag_s=world.swarm.follower_lag_s,
        )  # fmt: skip
        client.ends = self._history_lost
        pair = world.pair
        mirror = self._mirror = SimMirror(
            world.time, client, self.clock, rng,
            [paths.desired, paths.leader, paths.policy, paths.pause, paths.recent, paths.returning,
             paths.kept, paths.decisions,
             *(path(node) for node in pair for path in (paths.lease, paths.sync, paths.report))],
            folders=(paths.requests, paths.election), wake=lambda: loop.wake(),
            late_s=world.swarm.mirror_late_s, lost=world.swarm.watch_lost,
        )  # fmt: skip
        election = Election(client, self.clock, paths, self.name, changed=lambda: loop.wake())
        recorder = Recorder(paths, client, self.clock, Watching(paths, pair), lambda: election.term_version, str)

        def show(look: Look) -> None:
            self.look = look
            recorder.take(look)
            reconciler.take(look)

        reconciler = Reconciler(paths, client, lambda: election.term_version, recorder.tell)
        loop = Orchestrator(self.name, paths, pair, self.clock, client, mirror, election, Watching(paths, pair), show)
        election.start(lambda name, run: world.pausing(process.spawn(name, run), rng))
        process.spawn("history", recorder.run)
        process.spawn("returns", reconciler.run)
        world.pausing(process.spawn("orchestrator", loop.run), rng, (self._crash,))

    def _crash(self) -> None:
        self.world.note(f"{self.name} is killed where it stands")
        self.kill()
        self.world.time.after(self.world.rng(f"crash-{self._lives}").uniform(0.02, 3.0), self.start)

    def _history_lost(self) -> None:
        self.kill()
        self.world.time.after(0.5, self.start)

    def kill(self) -> None:
        if self.process is None:
            return
        self.process.kill()
        assert self._client is not None and self._mirror is not None
        self._mirror.close()
        self._client.close()
        self.process = None
