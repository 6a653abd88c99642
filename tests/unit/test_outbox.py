"""What is told: a condition once it has lasted, its end once it is over, an event once, whoever leads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import DB_A, DB_B, seen, situation

from orchestrator.core.alerts import ALERTS, THRESHOLDS, Condition, conditions, writes
from orchestrator.core.analysis import Finding
from orchestrator.core.delivery import Ended, delay_s, of_status
from orchestrator.core.history import Event, Recent
from orchestrator.core.model import Phase
from orchestrator.core.outbox import (
    CLEAR_S,
    EVENTS_AT_ONCE,
    Lasting,
    Ledger,
    Notice,
    Route,
    Signal,
    Words,
    begun,
    of_conditions,
    of_events,
    routed,
)
from orchestrator.core.wire import decode, encode

WORDS = Words("shop", "2026-11-24T18:59:04.120Z", 1795546744.0, "writes OK on db-a", "", 7)
LOST = Condition("standby_lost", "db-b is lost")
SILENT = Condition("primary_silent", "db-a is silent")
STARTED = Event("failover.started", "2026-11-24T18:55:00.371Z", "critical", "db-a exited", 8, 42, "F5", "db-b", 42)
ENDED = replace(STARTED, type="failover.completed", severity="info", text="db-b serves", seq=44, number=44)


class Told:
    """A leader that looks at one moment after the other."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger, self.lasting, self.said = ledger or Ledger(), Lasting(), []

    def look(self, now: float, *present: Condition, moving: bool = False) -> list[tuple[str, str]]:
        self.lasting = self.lasting.after(present, self.ledger.raised, now, moving=moving)
        self.ledger, notices = of_conditions(self.ledger, self.lasting, present, WORDS, now)
        self.said += notices
        return [(one.key, str(one.signal)) for one in notices]

    def read(self, *events: Event) -> list[tuple[str, str]]:
        recent = Recent()
        for one in events:
            recent = recent.with_event(one)
        self.ledger, notices = of_events(self.ledger, recent, WORDS)
        self.said += notices
        return [(one.key, str(one.signal)) for one in notices]


def test_a_condition_is_told_once_it_has_lasted_and_once_it_is_over():
    told = Told()
    assert told.look(0.0, LOST) == told.look(119.0, LOST) == []
    assert told.look(120.0, LOST) == [("standby_lost", "opened")]
    assert told.look(500.0, LOST) == []
    assert told.look(501.0) == []
    assert told.look(501.0 + CLEAR_S) == [("standby_lost", "closed")]
    assert told.ledger.raised == {} and [one.id for one in told.said] == ["shop-0000000001", "shop-0000000002"]


def test_one_that_ends_in_time_is_told_to_nobody():
    told = Told()
    assert [told.look(*at) for at in ((0.0, LOST), (100.0,), (101.0, LOST), (200.0, LOST))] == [[], [], [], []]


def test_one_that_flaps_is_one_alert():
    told = Told()
    told.look(0.0, LOST)
    told.look(120.0, LOST)
    assert [told.look(121.0), told.look(125.0, LOST), told.look(126.0), told.look(135.0)] == [[], [], [], []]


def test_a_finding_that_stands_behind_a_worse_one_is_not_said_to_be_over():
    told = Told()
    told.look(0.0, LOST)
    told.look(120.0, LOST)
    told.look(121.0, SILENT)
    assert told.look(140.0, SILENT) == [("primary_silent", "opened")]
    assert told.look(200.0, LOST) == []
    assert told.look(211.0, LOST) == [("primary_silent", "closed")]


def test_another_leader_goes_on_from_the_ledger():
    told = Told()
    told.look(0.0, LOST)
    told.look(120.0, LOST)
    heir = Told(decode(Ledger, encode(told.ledger)))
    assert heir.look(9000.0, LOST) == []
    heir.look(9001.0)
    assert heir.look(9012.0) == [("standby_lost", "closed")]
    assert heir.said[0].id == "shop-0000000002" and heir.said[0].severity == "warning"


def test_a_failover_opens_and_its_end_closes():
    told = Told(Ledger(place=41))
    assert told.read(STARTED) == [("incident/42", "opened")]
    assert told.read(STARTED, ENDED) == [("incident/42", "closed")]
    assert told.read(STARTED, ENDED) == []
    assert [one.severity for one in told.said] == ["critical", "critical"]


def test_an_end_without_a_number_closes_the_failover_that_is_open():
    """The leader that began it has died: whoever ended it does not know its number."""
    told = Told(Ledger(place=41))
    told.read(STARTED)
    assert told.read(STARTED, replace(ENDED, incident=0)) == [("incident/42", "closed")]


def test_a_failover_whose_end_nobody_wrote_is_over_when_the_pair_has_settled():
    told = Told(Ledger(place=41))
    told.read(STARTED)
    assert told.look(0.0, moving=True) == told.look(60.0, moving=True) == told.look(61.0) == []
    assert told.look(72.0) == [("incident/42", "closed")]


def test_what_was_before_anybody_was_told_is_told_to_nobody():
    recent = Recent().with_event(STARTED).with_event(ENDED)
    ledger = begun(recent, 0)
    assert of_events(ledger, recent, WORDS) == (ledger, ())


def test_many_events_are_told_in_order_over_several_looks():
    events = [replace(STARTED, type="mode.async", seq=100 + n, incident=0) for n in range(EVENTS_AT_ONCE + 5)]
    told = Told(Ledger(place=99))
    assert len(told.read(*events)) == EVENTS_AT_ONCE
    assert len(told.read(*events)) == 5
    assert [one.key for one in told.said] == [f"event/{100 + n}" for n in range(EVENTS_AT_ONCE + 5)]


def test_a_log_that_was_begun_anew_is_told_from_its_beginning():
    told = Told(Ledger(place=4000))
    assert told.read(replace(STARTED, seq=50)) == [("incident/42", "opened")]


def test_who_is_told_what():
    events, pager = Route("hook", "webhook", "info", events=True), Route("pager", "pagerduty", "critical")
    chat = Route("chat", "slack", "warning")
    told = Told(Ledger(place=41))
    told.read(replace(STARTED, type="mode.sync", severity="info"), replace(STARTED, seq=43), replace(ENDED, seq=45))
    told.look(0.0, LOST)
    told.look(120.0, LOST)
    found = [(route.name, notice.type) for route, notice in routed(told.said, [events, pager, chat])]
    assert found == [
        ("hook", "mode.sync"),
        *((name, "failover.started") for name in ("hook", "pager", "chat")),
        *((name, "failover.completed") for name in ("hook", "pager", "chat")),
        ("hook", "alert.opened"),
        ("chat", "alert.opened"),
    ]


def test_a_channel_is_not_told_of_itself_that_it_cannot_be_reached():
    told = Told()
    told.read(Event("alert.undeliverable", "", "warning", "could not be sent", 7, 0, origin="hook", number=1))
    routes = [Route("hook", "webhook", "info", events=True), Route("other", "webhook", "info", events=True)]
    assert [route.name for route, _ in routed(told.said, routes)] == ["other"]


@pytest.mark.parametrize("finding", [one for one in Finding if one is not Finding.HEALTHY])
def test_every_finding_has_its_threshold(finding):
    assert finding in THRESHOLDS and finding in ALERTS


def test_a_healthy_pair_has_nothing_to_tell():
    s = situation(seen(DB_A), seen(DB_B))
    assert conditions(s) == () and writes(s) == "writes OK on db-a, which has the VIP"


def test_conditions_beside_the_finding():
    s = situation(
        seen(DB_A, refusals=("sync_binlog=0: must be 1",)),
        seen(DB_B, applier_error="1062 duplicate", troubles=("STORAGE_DEAD no write in 30 s",)),
        paused=True,
        hold_down=True,
    )
    assert [one.key for one in conditions(s)] == [
        "paused",
        "hold_down",
        "node_refused/db-a",
        "node_in_trouble/db-b",
        "applier_stopped/db-b",
    ]


def test_a_lost_standby_is_told_as_that():
    s = situation(seen(DB_A), seen(DB_B, receiver_connected=False), phase=Phase.STEADY)
    assert [one.key for one in conditions(s)] == ["standby_lost"]
    assert [one.text for one in conditions(s)] == ["db-b is lost"]


@pytest.mark.parametrize(
    ("status", "ended"),
    [(200, Ended.SENT), (202, Ended.SENT), (302, Ended.NEVER), (400, Ended.NEVER), (401, Ended.NEVER),
     (404, Ended.NEVER), (408, Ended.LATER), (425, Ended.LATER), (429, Ended.LATER), (500, Ended.LATER),
     (503, Ended.LATER)],
)  # fmt: skip
def test_which_answers_are_final(status, ended):
    assert of_status(status, "").ended is ended


def test_delays_grow_to_a_minute_and_follow_the_receiver():
    assert [delay_s(n, 0.0, 0.5) for n in range(1, 9)] == [1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 60.0, 60.0]
    assert (delay_s(1, 0.0, 0.0), delay_s(1, 0.0, 1.0)) == (pytest.approx(0.8), pytest.approx(1.2))
    assert delay_s(1, of_status(429, "", "90").after_s, 0.5) == 90.0
    assert delay_s(1, of_status(503, "", "99999999").after_s, 0.5) == 3600.0
    assert delay_s(1, of_status(503, "", "Wed, 21 Oct 2026 07:28:00 GMT").after_s, 0.5) == 1.0


def test_a_notice_survives_the_way_through_zookeeper():
    told = Told(Ledger(place=41))
    told.read(STARTED)
    assert decode(Notice, encode(told.said[0])) == told.said[0] and told.said[0].signal is Signal.OPENED
