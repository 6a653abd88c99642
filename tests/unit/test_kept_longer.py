"""What is kept beyond what everybody watches: answered requests for a day, events for whoever was away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from carrier import Carrier
from pairs import SETTLED
from test_stream import STREAM, TestClient, happened, listening, streamed  # noqa: F401

from orchestrator.answered import KEPT_MAX, KEPT_MS, Answered
from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import StaleWrite
from orchestrator.core.history import EVENTS_MAX
from orchestrator.core.ports import Create, Delete
from orchestrator.core.requests import Kind, Request, RequestState
from orchestrator.core.situation import Sighting
from orchestrator.core.wire import encode
from orchestrator.eventlog import KEPT_MAX as EVENTS_KEPT
from orchestrator.eventlog import EventLog
from tests.fakes import FakeCoordinator

PATHS = Paths("shop")
NOW_MS = 1_795_546_744_120


def ended(id: str) -> Request:
    return Request(id, Kind.SWITCHOVER, "db-b", "patch", "olga", 7, RequestState.DONE, "db-b is primary")


def stored(coordinator: FakeCoordinator, *requests: Request, folder: bool = True) -> None:
    names = ["/kembar", PATHS.root, PATHS.requests, PATHS.leader, *([PATHS.answers] if folder else [])]
    coordinator.submit([Create(name, b"") for name in names]).result(1.0)
    for one in requests:
        coordinator.submit([Create(PATHS.request(one.id), encode(one))]).result(1.0)


@pytest.mark.parametrize("folder", [True, False], ids=["with its folder", "of a cluster made before"])
def test_an_answered_request_is_found_for_a_day(folder):
    coordinator = FakeCoordinator()
    answered, first, second = Answered(PATHS, coordinator), ended("a1"), ended("b2")
    stored(coordinator, first, second, folder=folder)
    answered.move(Sighting(first, 0, 0.0), NOW_MS, 0)
    assert (answered.find("a1"), answered.find("1"), coordinator.read(PATHS.request("a1"))) == (first, None, None)
    answered.move(Sighting(second, 0, 0.0), NOW_MS + KEPT_MS + 1, 0)
    assert (answered.find("a1"), answered.find("b2")) == (None, second)


def test_a_former_leader_moves_nothing():
    coordinator = FakeCoordinator()
    stored(coordinator, ended("a1"))
    with pytest.raises(StaleWrite):
        Answered(PATHS, coordinator).move(Sighting(ended("a1"), 0, 0.0), NOW_MS, 1)
    assert coordinator.read(PATHS.request("a1")) is not None
    assert Answered(PATHS, coordinator).find("a1") is None


def test_no_more_are_kept_than_can_be_listed():
    coordinator = FakeCoordinator()
    stored(coordinator, ended("last"))
    for number in range(KEPT_MAX):
        coordinator.submit([Create(PATHS.answered(f"r{number}", NOW_MS + number), encode(ended(f"r{number}")))])
    answered = Answered(PATHS, coordinator)
    answered.move(Sighting(ended("last"), 0, 0.0), NOW_MS + KEPT_MAX, 0)
    assert len(coordinator.children(PATHS.answers)) == KEPT_MAX
    assert (answered.find("r0"), answered.find("r1")) == (None, ended("r1"))
    coordinator.submit([Delete(PATHS.answers + f"/{NOW_MS + 1:013d}-r1", -1)])


def events(*numbers: int):
    return {number: replace(SETTLED, number=number) for number in numbers}


def test_events_are_kept_beyond_the_node_that_holds_the_newest():
    log = EventLog()
    for first in range(0, EVENTS_KEPT + 200, EVENTS_MAX):
        log.take(events(*range(first, first + EVENTS_MAX)))
    assert (len(log.kept), min(log.kept), max(log.kept)) == (EVENTS_KEPT, 200, EVENTS_KEPT + 199)
    log.take({})
    assert len(log.kept) == EVENTS_KEPT, "a record that cannot be read takes nothing away"
    log.take(events(3, 4))
    assert list(log.kept) == [3, 4], "a log that began anew"


def test_whoever_was_away_for_a_thousand_events_gets_them_all():
    carrier = Carrier()
    happened(carrier, *range(413, 1412))

    async def talk(client):
        async with listening(client, Last_Event_ID="412") as (_, sent):
            return [(await anext(sent))[1] for _ in range(999)]

    assert streamed(carrier, talk) == [str(number) for number in range(413, 1412)]
