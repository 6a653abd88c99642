"""What the loops believe of a host's clock, of whatever makes it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from orchestrator.core.lease import CLOCK_RATE_ERROR
from orchestrator.core.ports import Clock
from orchestrator.process.clock import HostClock
from tests.contract.ports.pace import FakePace, Pace, RealPace, VirtualPace
from tests.fakes import FakeClock
from tests.sim.kernel import Clock as SimClock

FINE_S = 0.001


@dataclass
class Host:
    pace: Pace
    clock: Clock


@pytest.fixture(params=["kernel", "simulator", "fake"])
def host(request: pytest.FixtureRequest) -> Host:
    if request.param == "kernel":
        return Host(RealPace(), HostClock())
    if request.param == "fake":
        clock = FakeClock()
        return Host(FakePace(clock), clock)
    pace = VirtualPace()
    return Host(pace, SimClock(pace.time, Random(7)))


def test_both_readings_measure_elapsed_time(host: Host) -> None:
    for reading in (host.clock.holder_now, host.clock.waiter_now):
        began = host.pace.now_s()
        before = reading()
        host.pace.sleep(0.2)
        measured_s = reading() - before
        passed_s = host.pace.now_s() - began  # more than 0.2, if the machine is busy
        assert 0.2 * (1 - CLOCK_RATE_ERROR) - FINE_S <= measured_s <= passed_s * (1 + CLOCK_RATE_ERROR) + FINE_S


def test_neither_ever_goes_back(host: Host) -> None:
    for reading in (host.clock.holder_now, host.clock.waiter_now):
        shown = []
        for _ in range(200):
            shown.append(reading())
            host.pace.sleep(0.0001)
        assert shown == sorted(shown)


def test_who_holds_power_is_never_younger_than_who_waits_for_its_end(host: Host) -> None:
    for _ in range(200):
        waiter = host.clock.waiter_now()
        assert host.clock.holder_now() >= waiter
        host.pace.sleep(0.0001)


def test_the_wall_clock_is_another_one(host: Host) -> None:
    before = host.clock.wall_s()
    host.pace.sleep(0.05)
    assert 0 < host.clock.wall_s() - before < 1.0 + host.pace.late_s
