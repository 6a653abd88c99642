"""How long ZooKeeper takes is measured beside its answers, which stay what they were."""

from __future__ import annotations

import pytest

from agents.reporter import Reporter
from orchestrator.core.errors import CoordinatorUnavailable, UnknownOutcome
from orchestrator.core.model import NodeName, Report
from orchestrator.core.ports import Create
from orchestrator.measuring import MeasuringCoordinator
from tests.fakes import FakeClock, FakeCoordinator


class Measured:
    def __init__(self) -> None:
        self.clock, self.inner, self.took = FakeClock(), FakeCoordinator(), list[tuple[str, float]]()
        self.coordinator = MeasuringCoordinator(self.inner, self.clock, lambda op, s: self.took.append((op, s)))


def test_a_write_is_measured_until_its_answer_and_whoever_waits_is_woken():
    measured, woken = Measured(), list[bool]()
    measured.inner.slow = True
    pending = measured.coordinator.submit((Create("/a", b"x"),), lambda: woken.append(True))
    measured.clock.now += 0.25
    assert (measured.took, woken, pending.done()) == ([], [], False)
    measured.inner.deliver()
    assert (measured.took, woken, pending.done()) == ([("write", 0.25)], [True], True)


def test_a_lost_answer_took_as_long_as_it_was_waited_for():
    measured = Measured()
    measured.inner.slow = True
    pending = measured.coordinator.submit((Create("/a", b"x"),))
    measured.clock.now += 0.5
    measured.inner.lose(happened=True)
    assert measured.took == [("write", 0.5)]
    with pytest.raises(UnknownOutcome):
        pending.result(1.0)


def test_what_was_refused_at_once_was_not_answered():
    measured = Measured()
    measured.inner.connected = False
    for ask in (lambda: measured.coordinator.submit(()), lambda: measured.coordinator.read("/a")):
        with pytest.raises(CoordinatorUnavailable):
            ask()
    assert (measured.took, measured.coordinator.connected) == ([], False)


def test_reads_are_measured_too():
    measured = Measured()
    measured.inner.put("/a/b", Report(NodeName("db-a")))
    assert measured.coordinator.read("/a/b") == measured.inner.nodes["/a/b"]
    assert measured.coordinator.children("/a") == ("b",)
    assert [op for op, _ in measured.took] == ["read", "read"]


def test_a_report_carries_the_time_of_its_sending_and_is_no_news_for_that():
    clock, coordinator = FakeClock(1000.0), FakeCoordinator()
    coordinator.put("/r", Report(NodeName("db-a")))
    reporter = Reporter(NodeName("db-a"), "/r", coordinator, clock)
    reporter.tell(Report(NodeName("db-a")), every_s=10.0, at_once=False)
    assert coordinator.get(Report, "/r").wall_s == 1000.0
    clock.now += 5
    reporter.tell(Report(NodeName("db-a")), every_s=10.0, at_once=False)
    assert coordinator.get(Report, "/r").wall_s == 1000.0, "its period has not come"
    clock.now += 5
    reporter.tell(Report(NodeName("db-a")), every_s=10.0, at_once=False)
    assert coordinator.get(Report, "/r").wall_s == 1010.0
