"""The hold-down: what counts towards it, and what ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.history import Incident, Recent
from orchestrator.core.model import NodeName

HOUR_S = 3600.0
NOW_MS = 10_000_000
FAILOVER = Incident(
    id=1,
    kind="failover",
    trigger="auto",
    actor="orchestrator",
    reason="",
    rule="F5",
    epoch=2,
    origin=NodeName("db-a"),
    target=NodeName("db-b"),
    began="",
    at_ms=NOW_MS - 1000,
    outcome="ok",
)


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({}, 1),
        ({"outcome": "aborted"}, 0),
        ({"outcome": "running"}, 0),
        ({"trigger": "manual"}, 0),
        ({"kind": "switchover"}, 0),
        ({"at_ms": NOW_MS - 3_600_001}, 0),
    ],
    ids=str,
)
def test_only_completed_unplanned_failovers_of_the_last_hour_count(change, counted):
    recent = Recent(incidents=(replace(FAILOVER, **change),))
    assert recent.automatic_failovers(NOW_MS, HOUR_S) == counted


def test_an_acknowledged_failover_counts_no_more_and_the_next_one_does():
    later = replace(FAILOVER, id=2, at_ms=NOW_MS + 1)
    recent = Recent(incidents=(FAILOVER, later), acknowledged_ms=NOW_MS)
    assert recent.automatic_failovers(NOW_MS + 2, HOUR_S) == 1
