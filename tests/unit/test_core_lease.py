"""Arithmetic of the lease, with bare numbers: docs/safety.md 5."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.lease import CLOCK_RATE_ERROR, KERNEL_TIMER_SLEW, Timing
from orchestrator.core.model import DEFAULT, PROFILES, Policy

INF, NAN = float("inf"), float("nan")


@st.composite
def timings(draw: st.DrawFn) -> Timing:
    ttl_s = draw(st.floats(0.01, 10.0))
    return Timing(ttl_s * draw(st.floats(0.01, 1 / 3.0001)), ttl_s + draw(st.floats(0.001, 20.0)), ttl_s)


@pytest.mark.parametrize(("profile", "wait_s"), [("fast", 1.21), ("default", 2.44), ("many", 5.86)])
def test_the_fence_wait_of_each_profile(profile, wait_s):
    assert PROFILES[profile].timing.fence_wait_s == wait_s


@given(timings())
def test_the_waiter_outlasts_a_holder_that_paused_at_the_worst_moment_on_the_worst_clocks(timing):
    """The check of A passes in time, a pause shorter than tau follows, the kernel renews, the element lives tau again;
    the holder's clock runs slow, the waiter's fast, the kernel's timer late."""
    shut_s = timing.authorised_s * (1 + CLOCK_RATE_ERROR) + 2 * timing.gate_ttl_s * (1 + KERNEL_TIMER_SLEW)
    assert shut_s < timing.fence_wait_s < shut_s + 0.07


@given(timings())
def test_the_fence_wait_is_a_whole_number_of_centiseconds(timing):
    assert timing.fence_wait_s * 100 == pytest.approx(round(timing.fence_wait_s * 100), abs=1e-6)


def test_the_holder_may_act_up_to_the_horizon_and_not_at_it():
    timing = DEFAULT.timing
    assert timing.may_act(101.4, 100.0) and not timing.may_act(101.5, 100.0)
    assert not timing.may_act(100.0, None), "nothing was ever acknowledged, or SHUT forgot it"


@pytest.mark.parametrize(
    "wrong",
    [
        {"renew_every_s": 0.0},
        {"renew_every_s": -0.1},
        {"renew_every_s": 0.14},
        {"gate_ttl_s": 0.29},
        {"gate_ttl_s": 1.5},
        {"authorised_s": 0.4},
        {"authorised_s": INF},
        {"authorised_s": NAN},
        {"gate_ttl_s": NAN},
        {"renew_every_s": NAN},
    ],
    ids=str,
)
def test_a_chain_that_cannot_hold_is_refused(wrong):
    """h, tau and A come from records too: a wait that cannot be computed would end the leader."""
    with pytest.raises(ValueError, match="gate_ttl_s"):
        replace(DEFAULT.timing, **wrong)


@given(timings(), timings())
def test_the_longest_of_two_timings_waits_for_both(one, other):
    both = one.longest(other)
    assert both.fence_wait_s >= max(one.fence_wait_s, other.fence_wait_s)
    assert both == other.longest(one) and both.longest(one) == both


def test_a_report_must_be_able_to_miss_once_before_it_is_silence():
    with pytest.raises(ValueError, match="silent_after_s"):
        replace(DEFAULT, silent_after_s=0.9)
    assert {one.profile for one in PROFILES.values()} == set(PROFILES)
    assert Policy() == DEFAULT
