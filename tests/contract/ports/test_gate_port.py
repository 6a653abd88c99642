"""What the loops believe of a gate (docs/safety.md 5), of whatever makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from orchestrator.core.errors import GateRefused, StepFailed
from orchestrator.core.ports import Gate
from tests.contract.netns import Network, network
from tests.contract.ports.gates import GateStand, fake_gate, kernel_gate, simulated_gate
from tests.contract.ports.pace import eventually, lasted_s

TTL_S = 1.0  # long enough for a slow machine to do something meanwhile
LONG_S = 60.0
SHORT_S = 0.05
SLEW = 0.1  # of kernel timers
LATE_S = 0.1  # the kernel is within 4 ms


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture(params=[pytest.param("kernel", marks=pytest.mark.lab), "simulator", "fake"])
def stand(request: pytest.FixtureRequest) -> Iterator[GateStand]:
    if request.param == "kernel":
        with kernel_gate(request.getfixturevalue("net")) as made:
            yield made
    else:
        with simulated_gate() if request.param == "simulator" else fake_gate() as made:
            yield made


def opened(gate: Gate, ttl_s: float = LONG_S) -> Gate:
    gate.arm(ttl_s)
    gate.open(ttl_s)
    return gate


def lives(
    stand: GateStand,
    ttl_s: float,
    give: Callable[[], object],
    then: Callable[[], object] = lambda: None,
    longest_s: float = 0.0,
) -> None:
    """What is given so lasts for that life, whatever is done `then`; a look that comes late proves nothing false."""
    began = stand.pace.now_s()
    give()
    given = stand.pace.now_s()
    then()
    spent_s = stand.pace.now_s() - given
    assert spent_s + lasted_s(stand.pace, stand.gate.is_open) <= max(ttl_s, longest_s) * (1 + SLEW) + LATE_S
    assert stand.pace.now_s() - began >= ttl_s * (1 - SLEW) - 0.02


def test_it_closes_alone_at_the_end_of_its_life(stand: GateStand) -> None:
    assert not stand.gate.is_open()
    lives(stand, TTL_S, lambda: opened(stand.gate, TTL_S))


def test_a_renewal_in_time_prolongs(stand: GateStand) -> None:
    opened(stand.gate, TTL_S)
    end = stand.pace.now_s() + 2 * TTL_S
    while stand.pace.now_s() < end:
        stand.gate.renew(TTL_S)
        stand.pace.sleep(TTL_S / 20)
    lives(stand, TTL_S, lambda: stand.gate.renew(TTL_S))


def test_a_late_renewal_does_not_reopen(stand: GateStand) -> None:
    """A paused agent that wakes up after its lease has ended must not open a second gate."""
    opened(stand.gate, SHORT_S)
    eventually(stand.pace, lambda: not stand.gate.is_open())
    with pytest.raises(GateRefused):
        stand.gate.renew(LONG_S)
    assert not stand.gate.is_open()


def test_it_opens_only_with_a_permit(stand: GateStand) -> None:
    with pytest.raises(GateRefused):
        stand.gate.open(LONG_S)
    assert not stand.gate.is_open()


def test_a_permit_is_no_lease(stand: GateStand) -> None:
    stand.gate.arm(LONG_S)
    assert not stand.gate.is_open()
    with pytest.raises(GateRefused):
        stand.gate.renew(LONG_S)
    assert not stand.gate.is_open()


def test_it_does_not_open_after_the_permit(stand: GateStand) -> None:
    """A pause between the check of the lease and the opening is shorter than the permit's life, or nothing opens."""
    stand.gate.arm(SHORT_S)
    stand.pace.sleep(2 * SHORT_S)
    with pytest.raises(GateRefused):
        stand.gate.open(LONG_S)
    assert not stand.gate.is_open()


def test_arming_again_gives_the_permit_another_life(stand: GateStand) -> None:
    """Otherwise an agent whose opening was refused could not begin anew before the old permit has expired."""
    stand.gate.arm(SHORT_S)
    stand.gate.arm(LONG_S)
    stand.pace.sleep(2 * SHORT_S)
    stand.gate.open(LONG_S)
    assert stand.gate.is_open()


def test_arming_again_can_shorten_it_too(stand: GateStand) -> None:
    stand.gate.arm(LONG_S)
    stand.gate.arm(SHORT_S)
    stand.pace.sleep(2 * SHORT_S)
    with pytest.raises(GateRefused):
        stand.gate.open(LONG_S)


def test_one_permit_opens_once(stand: GateStand) -> None:
    opened(stand.gate)
    with pytest.raises(GateRefused):
        stand.gate.open(LONG_S)


def test_a_gate_that_expired_opens_by_a_new_permit(stand: GateStand) -> None:
    opened(stand.gate, SHORT_S)
    eventually(stand.pace, lambda: not stand.gate.is_open())
    assert opened(stand.gate).is_open()


def test_opening_an_open_gate_again_does_not_prolong_it(stand: GateStand) -> None:
    """The kernel leaves a living element as it is when it is added again with the same life: only RENEW prolongs."""

    def again() -> None:
        stand.gate.arm(TTL_S)
        stand.pace.sleep(TTL_S / 2)
        stand.gate.open(TTL_S)

    lives(stand, TTL_S, lambda: opened(stand.gate, TTL_S), again)


def test_opening_an_open_gate_with_another_life_never_gives_it_more_than_that(stand: GateStand) -> None:
    """Linux 6.12 and later give a living element the other life, earlier ones leave it as it is."""
    opened(stand.gate, LONG_S)
    opened(stand.gate, TTL_S)

    def renewed() -> None:
        stand.gate.renew(TTL_S)
        opened(stand.gate, 2 * TTL_S)

    lives(stand, TTL_S, renewed, longest_s=2 * TTL_S)


def test_shutting_takes_lease_and_permit_and_may_be_repeated(stand: GateStand) -> None:
    opened(stand.gate)
    stand.gate.arm(LONG_S)
    stand.gate.shut()
    stand.gate.shut()
    assert not stand.gate.is_open()
    with pytest.raises(GateRefused):
        stand.gate.open(LONG_S)
    with pytest.raises(GateRefused):
        stand.gate.renew(LONG_S)


def test_loading_again_shuts_and_takes_the_permit(stand: GateStand) -> None:
    opened(stand.gate).arm(LONG_S)
    stand.gate.load()
    assert stand.gate.intact()
    assert not stand.gate.is_open()
    with pytest.raises(GateRefused):
        stand.gate.open(LONG_S)


def test_another_process_sees_it_and_renews(stand: GateStand) -> None:
    """An agent that restarts within the lease goes on without an outage."""
    opened(stand.gate, TTL_S)
    assert stand.again.intact() and stand.again.is_open()
    stand.again.renew(LONG_S)
    stand.pace.sleep(2 * TTL_S)
    assert stand.gate.is_open()


def test_a_flush_of_the_table_takes_the_rules_and_leaves_the_lease(stand: GateStand) -> None:
    """Renewals still succeed, without a gate: whoever renews looks at the rules."""
    opened(stand.gate)
    stand.flush_table()
    assert not stand.gate.intact()
    assert stand.gate.is_open()
    stand.gate.renew(LONG_S)
    stand.gate.shut()
    assert not stand.gate.is_open()
    assert not stand.gate.intact()
    stand.gate.load()
    assert stand.gate.intact()
    assert opened(stand.gate).is_open()


def test_a_flush_of_everything_leaves_nothing_to_renew_or_shut(stand: GateStand) -> None:
    opened(stand.gate)
    stand.flush_ruleset()
    assert not stand.gate.intact()
    assert not stand.gate.is_open()
    for deed in (stand.gate.renew, stand.gate.open):
        with pytest.raises(GateRefused):
            deed(LONG_S)
    for failing in (stand.gate.shut, lambda: stand.gate.arm(LONG_S)):
        with pytest.raises(StepFailed):
            failing()
    stand.gate.load()
    assert stand.gate.intact() and not stand.gate.is_open()
    assert opened(stand.gate).is_open()
