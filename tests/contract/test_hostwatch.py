"""The lab's watcher sees on the real kernel whether clients get through, without asking the agent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents.gate import NftGate
from agents.nftables import Nftables
from agents.vip import LinuxVirtualIp
from lab.hostwatch import gate_open, has_address
from lab.programs import libnftables
from tests.contract.netns import INTERFACE, VIP, Network, eventually, network

pytestmark = pytest.mark.lab

TTL_S = 2.0  # long enough for a slow machine to look twice


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def nft(net: Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nftables]:
    monkeypatch.setenv("KEMBAR_LIBNFTABLES", str(libnftables().path))
    with net.server.entered():
        made = Nftables()
    yield made
    made.close()


@pytest.fixture
def gate(net: Network, nft: Nftables) -> Iterator[NftGate]:
    with net.server.entered():
        made = NftGate(VIP)
    made.load()
    yield made
    made.unload()
    made.close()


def test_open_is_seen_while_the_element_lives_and_no_longer(gate: NftGate, nft: Nftables) -> None:
    assert not gate_open(nft, VIP)
    gate.arm(TTL_S)
    assert not gate_open(nft, VIP)
    gate.open(TTL_S)
    assert gate_open(nft, VIP)
    eventually(lambda: not gate_open(nft, VIP), 10 * TTL_S)
    gate.arm(60)
    gate.open(60)
    gate.shut()
    assert not gate_open(nft, VIP)


@pytest.mark.parametrize("taken", ["flush table inet kembar", "flush ruleset", "flush chain inet kembar in"])
def test_rules_that_are_gone_stop_nobody(gate: NftGate, nft: Nftables, taken: str) -> None:
    nft.run(taken)
    assert gate_open(nft, VIP)


def test_the_address_is_seen(net: Network) -> None:
    with net.server.entered():
        vip = LinuxVirtualIp(VIP, INTERFACE)
        try:
            assert not has_address(VIP)
            vip.add(60)
            assert has_address(VIP)
        finally:
            vip.drop()
            vip.close()
