"""A run that nobody watched to its end is none without violations."""

from __future__ import annotations

import pytest

from lab.checkers import watched
from lab.checkers.calls import FINAL, Call, Kind, Outcome
from lab.checkers.sightings import Host

UNTIL = 100.0
SEEN = {name: [Host(name, at, at + 0.01, False, False) for at in (90.0, 99.8)] for name in ("db-a", "db-b")}
ROUNDS = ["90.000000 02:00:00:00:00:01", "97.000000 02:00:00:00:00:01"]
CALLS = [
    Call(1, 0, Kind.INSERT, 1, 97.0, 97.1, Outcome.OK),
    Call(2, 0, Kind.INSERT, 2, 120.0, 121.0, Outcome.UNKNOWN),
    Call(3, FINAL, Kind.READ, "x", 140.0, 140.1, Outcome.OK),
]


def test_who_watched_to_the_end_is_believed():
    assert watched.check(SEEN, ROUNDS, CALLS, UNTIL) == []


@pytest.mark.parametrize("seen", [SEEN["db-b"][:1], []], ids=["ended early", "never began"])
def test_a_host_that_was_not_watched_to_the_end_is_named(seen):
    (found,) = watched.check({**SEEN, "db-b": seen}, ROUNDS, CALLS, UNTIL)
    assert found.startswith("db-b was watched until")


@pytest.mark.parametrize("rounds", [ROUNDS[:1], []], ids=["ended early", "never began"])
def test_an_auditor_that_ended_before_the_clients_is_no_witness(rounds):
    (found,) = watched.check(SEEN, rounds, CALLS, UNTIL)
    assert "by ARP" in found
