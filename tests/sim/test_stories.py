"""One trouble at a time: what must happen, and that nothing is lost by it."""

from __future__ import annotations

import pytest

from tests.sim.stories import STORIES, tell

FIRES = {
    "mysqld of the primary crashes": {"F5", "F3", "R1", "U2"},
    "mysqld of the primary hangs": {"F5", "F3", "R1", "U2"},
    "the primary's host is lost": {"F1", "F2", "F3", "R1", "U2"},
    "the primary is cut from ZooKeeper": {"F1", "F2", "F3"},
    "ASYNC, then the primary's host is lost": {"U1"},
    "the heir restarts while FENCING": {"F1", "F4"},
    "a switchover behind a client's lock": {"S1", "S3"},
    "a forced failover": {"U1", "F6", "F2", "F3"},
    "a planned switchover": {"S1", "S2", "F3"},
}
NEVER = {
    "ASYNC, then the primary's host is lost": {"F1", "F5"},
    "power is lost everywhere": {"F1", "F5"},
    "power is lost everywhere, the standby boots first": {"F1", "F5"},
    "ZooKeeper stalls": {"F1", "F2", "F5"},
}


@pytest.mark.parametrize("name", STORIES)
def test_the_story_ends_well(name: str):
    """Healthy again at the end, without a person."""
    result = tell(name)
    print(result.timeline())
    assert not result.violation
    assert not result.diverged or "F6" in result.rules, "only an accepted loss may leave errant transactions"
    assert set(result.rules) >= FIRES.get(name, set())
    assert not set(result.rules) & NEVER.get(name, set())
