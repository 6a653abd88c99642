"""What of the address only the real kernel has: placements, connections, settings. The port's suite is in ports/."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from agents.vip import LinuxVirtualIp
from orchestrator.core.errors import StepFailed
from tests.contract.netns import (
    INTERFACE,
    VIP,
    Host,
    Network,
    eventually,
    network,
    reset,
    set_arp_announce,
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


def holding(host: Host, interface: str = INTERFACE) -> LinuxVirtualIp:
    with host.entered():
        return LinuxVirtualIp(VIP, interface)


@pytest.fixture
def vip(net: Network) -> Iterator[LinuxVirtualIp]:
    made = holding(net.server)
    yield made
    made.drop()
    made.close()


@pytest.fixture
def peers(net: Network) -> Iterator[LinuxVirtualIp]:
    """The same address on the other host."""
    made = holding(net.peer)
    yield made
    made.drop()
    made.close()


def test_adding_twice_makes_one_host_address(net: Network, vip: LinuxVirtualIp) -> None:
    assert not vip.present()
    vip.add(60)
    vip.add(60)
    assert vip.present()
    assert net.server.ip("-br", "-4", "address", "show", INTERFACE).split().count(f"{VIP}/32") == 1


def test_dropping_is_idempotent_and_finds_it_anywhere(net: Network, vip: LinuxVirtualIp) -> None:
    """Somebody may have configured it by hand: static, with another prefix, elsewhere."""
    net.server.ip("address", "add", f"{VIP}/24", "dev", INTERFACE)
    net.server.ip("address", "add", f"{VIP}/32", "dev", "lo")
    vip.add(60)
    vip.drop()
    vip.drop()
    assert not vip.present()
    assert str(VIP) not in net.server.ip("address", "show")
    assert str(net.server.address) in net.server.ip("address", "show")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4 listener", "dual listener"])
def test_clients_of_a_released_address_get_a_reset(
    net: Network, vip: LinuxVirtualIp, family: socket.AddressFamily
) -> None:
    """mysqld listens on `::`, so that its clients' sockets are IPv6 ones. No packet of the client's is needed."""
    with net.server.listen(family) as listening, ExitStack() as connections:
        vip.add(60)
        vip.announce()
        clients = [connections.enter_context(net.client.connect()) for _ in range(20)]
        for _ in clients:  # a client is connected before the server has heard the last of it
            connections.enter_context(listening.accept()[0])
        vip.reset_clients()
        vip.drop()
        for client in clients:
            with pytest.raises(ConnectionResetError):
                client.recv(1)


def test_only_clients_of_the_address_are_reset(net: Network, vip: LinuxVirtualIp) -> None:
    """Replication and the listener go on."""
    with net.server.listen(), net.client.entered():
        vip.add(60)
        vip.announce()
        with socket.create_connection((str(net.server.address), 3306), timeout=5.0) as replica:
            replica.settimeout(0.3)
            vip.reset_clients()
            assert not _is_reset(replica)
        net.client.connect().close()


def _is_reset(connection: socket.socket) -> bool:
    try:
        return reset(connection)
    except TimeoutError:  # sent, and nobody at the other end says anything
        return False


def test_announcing_repairs_a_stale_neighbour_entry(net: Network, vip: LinuxVirtualIp, peers: LinuxVirtualIp) -> None:
    """Without it the client asked the old host until its entry was flushed (measured)."""
    with net.server.listen(), net.peer.listen():
        peers.add(60)
        peers.announce()
        net.client.connect().close()
        peers.drop()
        vip.add(60)
        assert net.client.neighbour(VIP) == net.peer.mac
        vip.announce()
        eventually(lambda: net.client.neighbour(VIP) == net.server.mac, within_s=10)
        net.client.connect().close()


def test_what_would_break_a_failover_is_named(net: Network, vip: LinuxVirtualIp) -> None:
    with net.server.entered():
        assert vip.problems() == ()
        set_arp_announce(net.server, 0)
        assert any("arp_announce" in problem for problem in vip.problems())
        set_arp_announce(net.server, 2)


def test_a_missing_interface_is_named(net: Network) -> None:
    missing = holding(net.server, "eth7")
    assert any("eth7" in problem for problem in missing.problems())
    for deed in (missing.announce, missing.probe, lambda: missing.add(60)):
        with pytest.raises(StepFailed, match="eth7"):
            deed()
    missing.close()
