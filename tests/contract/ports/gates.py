"""The gate: of the kernel, of the simulator, of the unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from random import Random

import pytest

from agents.gate import NftGate
from agents.nftables import Nftables
from lab.programs import libnftables
from orchestrator.core.ports import Gate
from tests.contract.netns import VIP, Network
from tests.contract.ports.pace import FakePace, Pace, RealPace, VirtualPace
from tests.fakes import FakeClock, FakeGate
from tests.sim.kernel import Kernel, SimGate
from tests.sim.network import Network as SimNetwork


@dataclass
class GateStand:
    """A loaded gate, shut. `again` is the gate of another process on the same host."""

    pace: Pace
    gate: Gate
    again: Gate
    flush_table: Callable[[], None]  # by somebody else: rules are gone, sets stay
    flush_ruleset: Callable[[], None]  # everything is gone


@contextmanager
def kernel_gate(net: Network) -> Iterator[GateStand]:
    with ExitStack() as stack, net.server.entered():
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("KEMBAR_LIBNFTABLES", str(libnftables().path))
        gate, again = (stack.enter_context(closing(NftGate(VIP))) for _ in range(2))
        other = stack.enter_context(closing(Nftables()))
        gate.load()
        stack.callback(gate.unload)
        yield GateStand(
            RealPace(), gate, again, lambda: other.run("flush table inet kembar"), lambda: other.run("flush ruleset")
        )


@contextmanager
def simulated_gate() -> Iterator[GateStand]:
    pace, rng = VirtualPace(), Random(7)
    kernel = Kernel(pace.time, SimNetwork(pace.time, rng, 0.001, 0.0), rng, "db-a")
    gate, again = SimGate(kernel), SimGate(kernel)
    yield GateStand(pace, gate, again, lambda: kernel.flush(sets=False), lambda: kernel.flush(sets=True))


@contextmanager
def fake_gate() -> Iterator[GateStand]:
    clock = FakeClock()
    gate = FakeGate(clock)

    def flush(*, sets: bool) -> None:
        gate.rules = False
        gate.sets = gate.sets and not sets

    yield GateStand(FakePace(clock), gate, gate, lambda: flush(sets=False), lambda: flush(sets=True))
