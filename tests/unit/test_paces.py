"""What follows from the timings of each profile, for those who look and those who count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.loop import quiet_tick_s
from agents.standing import OLD_S
from orchestrator.core.lease import Timing
from orchestrator.core.model import PROFILES, Policy
from orchestrator.loop import idle_tick_s
from orchestrator.tallying import FRESH_S


@pytest.mark.parametrize("profile", PROFILES)
def test_a_report_that_is_made_in_time_is_of_now(profile):
    """It is due within a period, and made by the look after it."""
    policy = PROFILES[profile]
    assert policy.report_every_s + quiet_tick_s(policy) < OLD_S


@pytest.mark.parametrize("profile", PROFILES)
def test_a_look_sees_a_report_of_the_peer_while_it_is_young(profile):
    """A standby is certified against the peer's last report: of one that is old, too much has been executed since."""
    policy = PROFILES[profile]
    assert quiet_tick_s(policy) <= 0.5 <= policy.backlog_transactions_max / 2000


@pytest.mark.parametrize("policy", [*PROFILES.values(), replace(Policy(), timing=Timing(10.0, 60.0, 30.0))])
def test_an_idle_look_is_counted_as_one_that_watches(policy):
    assert 0.1 <= idle_tick_s(policy) < FRESH_S
