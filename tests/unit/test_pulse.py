"""Silence counts only while we ourselves were running."""

from __future__ import annotations

from agents.probes import GAP_S, Pulse


class SetClock:
    """A clock that stands where the test puts it."""

    now = 0.0

    def holder_now(self) -> float:
        return self.now

    waiter_now = wall_s = holder_now


def test_a_pause_starts_the_count_anew() -> None:
    clock = SetClock()
    pulse = Pulse(clock)
    clock.now = GAP_S
    assert pulse.awake_since(clock.now) == 0.0
    clock.now = 30.0
    assert pulse.awake_since(clock.now) == 30.0
