"""The thread that counts: only while it leads, only time that it has seen, never the same time twice."""

from __future__ import annotations

import pytest
from builders import NOW, PAIR, situation
from test_totals import incident

from orchestrator.coordination.paths import Paths
from orchestrator.core.errors import CoordinatorUnavailable, StaleWrite
from orchestrator.core.history import Recent
from orchestrator.core.model import LeaderRecord
from orchestrator.core.ports import Seen, Stored
from orchestrator.core.totals import Totals
from orchestrator.core.wire import decode, encode
from orchestrator.loop import Look
from orchestrator.tallying import Tally
from orchestrator.watching import Watching
from tests.fakes import FakeClock, FakeCoordinator

PATHS = Paths("shop")


class Counting:
    """One leader's tally on an ensemble in memory, second by second."""

    def __init__(self) -> None:
        self.clock, self.coordinator, self.leading = FakeClock(NOW), FakeCoordinator(), True
        self.coordinator.put(PATHS.leader, LeaderRecord(1, "witness"))
        self.coordinator.put(PATHS.recent, Recent(incidents=(incident(7),)))
        self.tally = self.fresh()

    def fresh(self) -> Tally:
        return Tally(PATHS, self.coordinator, self.clock, Watching(PATHS, PAIR), lambda: 0 if self.leading else None)

    def seconds(self, count: int, *, ticking: bool = True, **changes: object) -> None:
        for _ in range(count):
            self.clock.now += 1
            if ticking:
                seen = {
                    path: Seen(Stored(one.data, one.version, modified_ms=3_600_000), 0.0)
                    for path, one in self.coordinator.nodes.items()
                }
                self.tally.take(Look(seen, self.clock.now, self.leading, situation(phase_since=0.0, **changes)))
            self.tally.pass_once()

    @property
    def totals(self) -> Totals:
        return decode(Totals, self.coordinator.nodes[PATHS.totals].data)


def test_what_ended_is_written_at_once_and_time_every_ten_seconds():
    counting = Counting()
    counting.seconds(1)
    assert (counting.totals.operations, counting.totals.watched_s) == ({"failover/auto/ok": 1}, 0.0)
    counting.seconds(9)
    assert counting.coordinator.nodes[PATHS.totals].version == 0
    counting.seconds(1)
    assert (counting.totals.watched_s, counting.totals.ready_s) == (10.0, 10.0)


def test_only_time_in_which_a_failover_would_have_been_safe_counts_as_ready():
    counting = Counting()
    counting.seconds(6)
    counting.seconds(5, promotable=None)
    assert (counting.totals.watched_s, counting.totals.ready_s) == (10.0, 5.0)
    assert counting.totals.hours[0].hour == 1, "by ZooKeeper's clock"


def test_who_does_not_lead_counts_nothing_and_the_next_leader_goes_on():
    counting = Counting()
    counting.seconds(11)
    counting.leading = False
    counting.seconds(30)
    assert counting.totals.watched_s == 10.0
    counting.leading, counting.tally = True, counting.fresh()
    counting.seconds(12)
    assert counting.totals.watched_s == 21.0
    assert counting.totals.operations == {"failover/auto/ok": 1}


def test_a_tick_that_stands_still_watches_nothing():
    counting = Counting()
    counting.seconds(11)
    counting.seconds(60, ticking=False)
    counting.seconds(12)
    assert counting.totals.watched_s <= 10.0 + 12.0


def test_a_write_whose_answer_was_lost_counts_no_time_twice():
    counting = Counting()
    counting.seconds(10)
    counting.coordinator.connected = False
    with pytest.raises(CoordinatorUnavailable):
        counting.seconds(1)
    counting.coordinator.connected = True
    counting.seconds(11)
    assert counting.totals.watched_s <= 21.0


def test_another_leaders_totals_are_never_overwritten():
    counting = Counting()
    counting.seconds(1)
    mirror_lags = {PATHS.recent: Seen(Stored(encode(Recent()), 0, modified_ms=3_600_000), 0.0)}
    counting.clock.now += 20
    counting.tally.take(Look(mirror_lags, counting.clock.now, True, situation()))
    counting.tally.pass_once()
    counting.clock.now += 1
    counting.tally.take(Look(mirror_lags, counting.clock.now, True, situation()))
    with pytest.raises(StaleWrite):
        counting.tally.pass_once()
    assert counting.totals.operations == {"failover/auto/ok": 1}


def test_totals_that_cannot_be_read_begin_anew():
    counting = Counting()
    counting.seconds(1)
    counting.coordinator.nodes[PATHS.totals] = Stored(b"not a record", 5)
    counting.seconds(1)
    assert counting.totals.operations == {"failover/auto/ok": 1}
    assert counting.coordinator.nodes[PATHS.totals].version == 6
