"""The virtual address: of the kernel, of the simulator, of the unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from random import Random

import pytest

from agents.gate import NftGate
from agents.vip import LinuxVirtualIp
from lab.programs import libnftables
from orchestrator.core.ports import VirtualIp
from tests.contract.netns import INTERFACE, VIP, Host, Network
from tests.contract.ports.pace import FakePace, Pace, RealPace, VirtualPace
from tests.fakes import FakeClock, FakeVip
from tests.sim.kernel import Kernel, SimVip
from tests.sim.network import Network as SimNetwork


@dataclass
class AddressStand:
    """The address on the host under test and on its peer, absent, before no gate; and a client beside them."""

    pace: Pace
    here: VirtualIp
    there: VirtualIp
    there_is: str  # how the peer's MAC is told
    shut: Callable[[VirtualIp], None]  # a gate before one of them, shut
    believed: Callable[[], VirtualIp | None]  # who has the address, to the client


def fake_address() -> AddressStand:
    nobody = FakeVip()
    return AddressStand(FakePace(FakeClock()), FakeVip(), nobody, "", lambda vip: None, lambda: None)


@contextmanager
def simulated_address() -> Iterator[AddressStand]:
    pace, rng = VirtualPace(), Random(7)
    network = SimNetwork(pace.time, rng, 0.001, 0.0)
    kernels = [Kernel(pace.time, network, rng, name) for name in ("db-a", "db-b")]
    here, there = SimVip(kernels[0], lambda: kernels[1]), SimVip(kernels[1], lambda: kernels[0])
    told: list[VirtualIp] = []
    for kernel, vip in zip(kernels, (here, there), strict=True):
        kernel.flush(sets=True)
        kernel.announced = lambda kernel, vip=vip: told.append(vip)
    yield AddressStand(
        pace, here, there, "db-b", lambda vip: kernels[vip is there].load(), lambda: told[-1] if told else None
    )


@contextmanager
def kernel_address(net: Network) -> Iterator[AddressStand]:
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("KEMBAR_LIBNFTABLES", str(libnftables().path))
        vips = {host.mac: _on(host, stack) for host in (net.server, net.peer)}
        here, there = vips.values()

        def shut(vip: VirtualIp) -> None:
            host = net.peer if vip is there else net.server
            with host.entered():
                gate = stack.enter_context(closing(NftGate(VIP)))
            gate.load()
            stack.callback(gate.unload)

        # A neighbour that is announced only is not taken up by Linux: it must be known already.
        net.client.ip("neigh", "replace", str(VIP), "lladdr", "02:00:00:00:00:01", "dev", INTERFACE, "nud", "stale")
        stack.callback(net.client.ip, "neigh", "del", str(VIP), "dev", INTERFACE)
        yield AddressStand(RealPace(), here, there, net.peer.mac, shut, lambda: vips.get(net.client.neighbour(VIP)))


def _on(host: Host, stack: ExitStack) -> LinuxVirtualIp:
    with host.entered():
        vip = stack.enter_context(closing(LinuxVirtualIp(VIP, INTERFACE)))
    stack.callback(vip.drop)
    return vip
