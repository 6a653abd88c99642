"""What the loops believe of the virtual address, of whatever makes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.netns import Network, network
from tests.contract.ports.addresses import AddressStand, fake_address, kernel_address, simulated_address
from tests.contract.ports.pace import eventually, within

KERNEL = pytest.param("kernel", marks=pytest.mark.lab)
LONG_S = 60


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture(params=[KERNEL, "simulator"])
def stand(request: pytest.FixtureRequest) -> Iterator[AddressStand]:
    if request.param == "kernel":
        with kernel_address(request.getfixturevalue("net")) as made:
            yield made
    else:
        with simulated_address() as made:
            yield made


@pytest.fixture(params=[KERNEL, "simulator", "fake"])
def any_stand(request: pytest.FixtureRequest) -> Iterator[AddressStand]:
    """The fake has no network, and its address lives for ever."""
    if request.param == "fake":
        yield fake_address()
    else:
        yield from stand.__wrapped__(request)  # type: ignore[attr-defined]


# --- present


def test_adding_and_dropping_are_idempotent(any_stand: AddressStand) -> None:
    vip = any_stand.here
    assert not vip.present()
    vip.drop()
    for _ in range(2):
        vip.add(LONG_S)
        assert vip.present()
    for _ in range(2):
        vip.drop()
        assert not vip.present()


def test_it_is_there_on_one_host_only(stand: AddressStand) -> None:
    stand.here.add(LONG_S)
    assert stand.here.present() and not stand.there.present()


def test_its_lifetime_ends_alone(stand: AddressStand) -> None:
    """A host whose agent is gone must not keep the address."""
    began = stand.pace.now_s()
    stand.here.add(1)
    eventually(stand.pace, lambda: not stand.here.present(), 3.5)
    assert stand.pace.now_s() - began >= 0.9


def test_adding_again_prolongs_its_life(stand: AddressStand) -> None:
    stand.here.add(1)
    stand.here.add(LONG_S)
    stand.pace.sleep(2.5)
    assert stand.here.present()


def test_adding_again_late_makes_it_anew(stand: AddressStand) -> None:
    """So a refresh is safe only right after an accepted renewal, or while refusing."""
    stand.here.add(1)
    eventually(stand.pace, lambda: not stand.here.present())
    stand.here.add(LONG_S)
    assert stand.here.present()


def test_resetting_nobody_is_no_trouble(any_stand: AddressStand) -> None:
    any_stand.here.add(LONG_S)
    any_stand.here.reset_clients()
    assert any_stand.here.present()


# --- other holders


def test_nobody_else_holds_it(any_stand: AddressStand) -> None:
    """Neither before we hold it, nor when only we do."""
    assert any_stand.here.claimed_by(0.2) is None
    any_stand.here.add(LONG_S)
    assert any_stand.here.claimed_by(0.2) is None


def test_a_foreign_holder_is_seen_at_once(stand: AddressStand) -> None:
    stand.there.add(LONG_S)
    within(stand.pace, 1.0, lambda: _is_seen(stand))


def _is_seen(stand: AddressStand) -> None:
    assert stand.here.claimed_by(20.0) == stand.there_is


def test_a_holder_who_has_gone_is_not_seen(stand: AddressStand) -> None:
    """What was heard before the question does not count."""
    stand.there.add(LONG_S)
    stand.there.announce()
    stand.here.probe()
    stand.there.drop()
    assert stand.here.claimed_by(0.3) is None


def test_a_holder_behind_a_shut_gate_is_not_seen(stand: AddressStand) -> None:
    """It refuses, and keeps the address meanwhile: nobody may wait for it."""
    stand.there.add(LONG_S)
    stand.shut(stand.there)
    assert stand.here.claimed_by(0.3) is None


def test_a_probe_collects_its_answer_while_others_work(stand: AddressStand) -> None:
    stand.there.add(LONG_S)
    stand.here.probe()
    eventually(stand.pace, lambda: stand.here.foreign_mac() == stand.there_is, 2)


def test_who_takes_it_after_the_probe_is_heard_by_its_announcement(stand: AddressStand) -> None:
    stand.here.probe()
    stand.pace.sleep(0.1)
    assert stand.here.foreign_mac() is None
    stand.there.add(LONG_S)
    stand.there.announce()
    eventually(stand.pace, lambda: stand.here.foreign_mac() == stand.there_is, 2)


def test_nothing_is_heard_of_a_claim_for_ever(stand: AddressStand) -> None:
    """Each is told once, or a holder that has long gone would keep us from opening."""
    stand.there.add(LONG_S)
    stand.here.probe()
    eventually(stand.pace, lambda: stand.here.foreign_mac() == stand.there_is, 2)
    stand.there.drop()
    stand.pace.sleep(0.1)
    while stand.here.foreign_mac() is not None:
        pass
    assert stand.here.claimed_by(0.2) is None


# --- announcing


def test_announcing_repairs_a_stale_neighbour_entry(stand: AddressStand) -> None:
    for vip, other in ((stand.there, stand.here), (stand.here, stand.there)):
        other.drop()
        vip.add(LONG_S)
        vip.announce()
        eventually(stand.pace, lambda vip=vip: stand.believed() is vip, 3)


def test_an_announcement_passes_a_shut_gate(stand: AddressStand) -> None:
    """It does not go through the rules: whoever announces has to know that the gate is open."""
    stand.here.add(LONG_S)
    stand.shut(stand.here)
    stand.here.announce()
    eventually(stand.pace, lambda: stand.believed() is stand.here, 3)


def test_an_announcement_needs_no_address(stand: AddressStand) -> None:
    stand.here.announce()
    eventually(stand.pace, lambda: stand.believed() is stand.here, 3)
