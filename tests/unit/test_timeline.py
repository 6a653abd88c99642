"""The timeline of an incident: in order, from the leader's own sight and the new primary's own measurements."""

from __future__ import annotations

from orchestrator.core.history import Incident, steps
from orchestrator.core.model import NodeName, Report

MEASURED = {"drain": 10.0, "promote": 20.0, "vip": 2.0, "verify": 8.0}


def incident(rule: str, total_ms: float) -> Incident:
    return Incident(
        id=9,
        kind="failover",
        trigger="auto",
        actor="orchestrator",
        reason="",
        rule=rule,
        epoch=3,
        origin=NodeName("db-a"),
        target=NodeName("db-b"),
        began="",
        total_ms=total_ms,
    )


def report(epoch: int = 3) -> Report:
    return Report(NodeName("db-b"), epoch=epoch, timeline_ms=MEASURED)


def test_the_new_primarys_phases_end_where_the_incident_ends():
    found = steps(incident("F5", 70.0), detect_ms=5.0, fence_ms=1.0, report=report())
    assert [(one.phase, one.offset_ms) for one in found] == [
        ("fence", 0.0), ("detect", 1.0), ("drain", 30.0), ("promote", 40.0), ("vip", 60.0), ("verify", 62.0),
    ]  # fmt: skip


def test_a_lost_primary_is_detected_before_it_is_fenced_and_the_heir_drains_meanwhile():
    found = steps(incident("F1", 1330.0), detect_ms=700.0, fence_ms=600.0, report=report())
    assert [one.phase for one in found][:2] == ["detect", "fence"]
    assert found[2].offset_ms == 1290.0


def test_measurements_of_an_earlier_promotion_are_not_shown():
    assert len(steps(incident("F5", 70.0), detect_ms=5.0, fence_ms=1.0, report=report(epoch=2))) == 2
