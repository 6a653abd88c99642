"""ZooKeeper as one process meets it: three real servers, the simulator's model, the unit tests' fake."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.mirror import WatchedMirror
from orchestrator.core.ports import Clock, Coordinator, Create, Mirror, Stored
from orchestrator.process import threads
from orchestrator.process.clock import HostClock
from tests.contract.ports.pace import FakePace, Pace, RealPace, VirtualPace
from tests.contract.zkservers import Link, Servers, eventually
from tests.fakes import FakeClock, FakeCoordinator
from tests.sim.kernel import Clock as SimClock
from tests.sim.mirror import SimMirror
from tests.sim.network import ZK
from tests.sim.network import Network as SimNetwork
from tests.sim.strands import Process
from tests.sim.zookeeper import Client, Store

STALL_S = 0.5
SESSION_S = 2.0  # a client on a busy machine is back before it ends


class Line(Protocol):
    """The connection of the client under test."""

    def deaf(self) -> None:
        """What ZooKeeper says is lost."""

    def hold(self) -> None:
        """What the client says is kept on the way: until `up`, or lost with the connection."""

    def down(self) -> None:
        """No connection is kept or made."""

    def up(self) -> None: ...


class Reader(Protocol):
    """Sees what there is, whatever the line does."""

    def read(self, path: str) -> Stored | None: ...


@dataclass
class Ensemble:
    """`desired` and `lease` exist, at version 0, and the empty folder `requests`; there is no `pause`."""

    pace: Pace
    clock: Clock
    client: Coordinator
    line: Line
    direct: Reader
    root: str = "/kembar"

    @property
    def desired(self) -> str:
        return f"{self.root}/desired"

    @property
    def lease(self) -> str:
        return f"{self.root}/lease"

    @property
    def pause(self) -> str:
        return f"{self.root}/pause"

    @property
    def requests(self) -> str:
        return f"{self.root}/requests"


@dataclass
class Sessions(Ensemble):
    """With sessions and watches: another client writes, and the mirror follows all that was named."""

    direct: Coordinator
    mirror: Mirror = field(init=False)
    wakes: list[float] = field(default_factory=list)

    def woken(self) -> None:
        self.wakes.append(self.clock.waiter_now())


def _first_records(ensemble: Ensemble) -> list[Create]:
    return [Create(path, b"") for path in (ensemble.root, ensemble.desired, ensemble.lease, ensemble.requests)]


@contextmanager
def real_ensemble(servers: Servers) -> Iterator[Sessions]:
    host, *_ = servers.followers()
    # By the same server: another may not have what has been answered here already. No fault of a case touches it.
    direct = ZooKeeper([host], HostClock(), threads.start, session_s=5.0, stall_s=5.0)
    with closing(Link(host)) as line, closing(direct):
        direct.start()
        clock = HostClock()
        with closing(_client(line.host, clock=clock)) as client:
            root = f"/t{secrets.token_hex(4)}"
            made = Sessions(RealPace(), clock, client, line, direct, root)
            made.mirror = WatchedMirror(client, clock, *_followed(made), made.woken)
            assert direct.wait_connected(20)
            direct.submit(_first_records(made)).result(5)
            client.start()
            # What is published wakes a moment later.
            eventually(lambda: made.desired in made.mirror.snapshot() and bool(made.wakes), 20)
            yield made


def _client(*hosts: str, clock: Clock | None = None) -> ZooKeeper:
    return ZooKeeper(hosts, clock or HostClock(), threads.start, session_s=SESSION_S, stall_s=STALL_S)


def _followed(ensemble: Ensemble) -> tuple[list[str], list[str]]:
    return [ensemble.desired, ensemble.lease, ensemble.pause], [ensemble.requests]


class SimLine:
    def __init__(self, network: SimNetwork, client: Client) -> None:
        self._network, self._client = network, client

    def deaf(self) -> None:
        self._network.cut(ZK, "db-a")

    def hold(self) -> None:
        self._network.cut("db-a", ZK)

    def down(self) -> None:
        self.deaf()
        self.hold()
        self._client.cut()

    def up(self) -> None:
        self._network.heal_all()


@contextmanager
def simulated_ensemble(seed: int) -> Iterator[Sessions]:
    pace, rng = VirtualPace(), Random(seed)
    network, store = SimNetwork(pace.time, rng, 0.001, 0.0), Store(pace.time)

    clock = SimClock(pace.time, rng)

    def connected(host: str) -> Client:
        process = pace.process if host == "db-a" else Process(pace.time, host)
        return Client(pace.time, network, store, host, process, clock, rng, stall_s=STALL_S, lag_s=0.0)

    client, direct = connected("db-a"), connected("o1")
    made = Sessions(pace, clock, client, SimLine(network, client), direct)
    store.apply(_first_records(made), 0)
    made.mirror = SimMirror(pace.time, client, clock, rng, *_followed(made), made.woken, late_s=0.01, lost=0.0)
    pace.time.run(1.0)
    yield made


class FakeLine:
    def __init__(self, fake: FakeCoordinator) -> None:
        self._fake, self._arrives = fake, True

    def deaf(self) -> None:
        self._fake.stalled = True

    def hold(self) -> None:
        self._fake.stalled, self._arrives = True, False

    def down(self) -> None:
        self._fake.lose(happened=self._arrives)
        self._fake.connected = False

    def up(self) -> None:
        self._fake.connected, self._fake.stalled = True, False
        self._fake.deliver()


class FakeReader:
    def __init__(self, fake: FakeCoordinator) -> None:
        self._nodes = fake.nodes

    def read(self, path: str) -> Stored | None:
        return self._nodes.get(path)


def fake_ensemble() -> Ensemble:
    clock, fake = FakeClock(), FakeCoordinator()
    made = Ensemble(FakePace(clock), clock, fake, FakeLine(fake), FakeReader(fake))
    for op in _first_records(made):
        fake.nodes[op.path] = Stored(op.data, 0)
    return made
