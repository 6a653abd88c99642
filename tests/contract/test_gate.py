"""What of the gate only the real kernel has: foreign rules, packets, descriptors. The port's own suite is in ports/."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable, Iterator

import pytest

from agents.gate import NftGate
from agents.nftables import Nftables
from agents.vip import LinuxVirtualIp
from lab.programs import libnftables
from orchestrator.core.errors import GateRefused
from tests.contract.netns import INTERFACE, VIP, Network, answering, eventually, network, refused, reset

pytestmark = pytest.mark.lab

TTL_S = 2.0  # long enough for a slow machine to connect
LONG_S = 60.0


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def gate(net: Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[NftGate]:
    """A gate with its rules, shut, before an address that is there and announced."""
    monkeypatch.setenv("KEMBAR_LIBNFTABLES", str(libnftables().path))
    with net.server.entered():
        made, vip = NftGate(VIP), LinuxVirtualIp(VIP, INTERFACE)
    made.load()
    vip.add(60)
    vip.announce()
    yield made
    made.unload()
    vip.drop()
    vip.close()
    made.close()


@pytest.fixture
def third_party(net: Network, gate: NftGate) -> Iterator[Callable[[str], None]]:
    """Somebody else on the host who runs nft."""
    with net.server.entered():
        nft = Nftables()
    yield nft.run
    nft.close()


@pytest.fixture
def listener(net: Network) -> Iterator[socket.socket]:
    with net.server.listen() as listening:
        yield listening


def opened(gate: NftGate, ttl_s: float = LONG_S) -> NftGate:
    gate.arm(ttl_s)
    gate.open(ttl_s)
    return gate


def test_a_renewal_is_refused_when_one_family_has_expired(gate: NftGate, third_party: Callable[[str], None]) -> None:
    opened(gate)
    third_party("flush set arp kembar lease")
    with pytest.raises(GateRefused):
        gate.renew(LONG_S)


def test_a_life_of_nothing_is_no_life_for_ever(gate: NftGate) -> None:
    """The kernel takes a timeout of 0 for none."""
    with pytest.raises(ValueError, match="shorter than 1 ms"):
        gate.arm(0.0004)


@pytest.mark.parametrize(
    "deed",
    [
        "flush table inet kembar",
        "flush ruleset",
        "flush chain arp kembar in",
        "insert rule inet kembar in accept",
        "add rule arp kembar out accept",
        "add chain inet kembar another",
        "delete set inet kembar permit",
        "add table inet kembar { flags dormant; }",
        "add chain inet kembar in { policy drop; }",
    ],
)
def test_what_others_do_to_the_rules_is_noticed(gate: NftGate, third_party: Callable[[str], None], deed: str) -> None:
    """After a flush of the table renewals still succeed, without a gate."""
    opened(gate)
    assert gate.intact()
    third_party(deed)
    assert not gate.intact()
    gate.load()
    assert gate.intact()


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 0), (1, 1), (2, 0), (2, 3)])
def test_a_flush_among_renewals_is_noticed(
    gate: NftGate, third_party: Callable[[str], None], before: int, after: int
) -> None:
    """Our own changes are counted, not looked at: another's among them must not hide."""
    opened(gate)
    for _ in range(2):  # the first makes the reference, which changes rules itself: counting begins with the second
        assert gate.intact()
    for _ in range(before):
        gate.renew(LONG_S)
    third_party("flush table inet kembar")
    for _ in range(after):
        gate.renew(LONG_S)
    assert not gate.intact()


def test_rules_of_others_are_none_of_our_business(gate: NftGate, third_party: Callable[[str], None]) -> None:
    opened(gate)
    assert gate.intact()
    third_party("add table inet docker; add chain inet docker kembar")
    assert gate.intact()
    gate.renew(LONG_S)
    third_party("delete table inet docker")


def test_closed_means_refused(net: Network, gate: NftGate, listener: socket.socket) -> None:
    """A dropped SYN would cost a client the kernel's retry after 1 s."""
    opened(gate)
    assert not refused(net.client.connect)
    gate.shut()
    assert refused(net.client.connect)


def test_closing_resets_what_was_open(net: Network, gate: NftGate, listener: socket.socket) -> None:
    opened(gate)
    with net.client.connect() as connection:
        gate.shut()
        assert reset(connection)


def test_a_lease_that_ends_alone_resets_too(net: Network, gate: NftGate, listener: socket.socket) -> None:
    opened(gate, TTL_S)
    with net.client.connect() as connection:
        eventually(lambda: not gate.is_open(), 10 * TTL_S)
        assert reset(connection)


def test_it_is_silent_to_arp_while_shut(net: Network, gate: NftGate) -> None:
    assert answering(net.client, VIP) is None
    opened(gate)
    assert answering(net.client, VIP, wait_s=10.0) == net.server.mac
    gate.shut()
    assert answering(net.client, VIP) is None


def test_a_client_without_neighbour_entry_is_not_answered_while_shut(
    net: Network, gate: NftGate, listener: socket.socket
) -> None:
    net.client.ip("neigh", "flush", "dev", INTERFACE)
    with pytest.raises(OSError, match=r"timed out|No route to host"):
        net.client.connect(timeout_s=0.5)


def test_it_works_without_a_free_descriptor(gate: NftGate) -> None:
    """The renewal must go on when the process has used up its descriptors."""
    opened(gate)
    assert gate.intact()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_free = os.dup(0)
    os.close(next_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, limit[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.close(os.dup(0))
        gate.renew(LONG_S)
        assert gate.is_open()
        assert gate.intact()
        gate.shut()
        gate.load()
        assert gate.intact()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
