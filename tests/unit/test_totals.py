"""Counters of a pair: each thing once, whoever counts, however often, and however its leader died."""

from __future__ import annotations

from dataclasses import replace

from builders import DB_A, DB_B, seen, situation
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.history import Incident, Step
from orchestrator.core.reconcile import Reconcile, Settled
from orchestrator.core.returning import Rung, Stage
from orchestrator.core.situation import Sighting
from orchestrator.core.totals import OUTAGE_S, STEP_S, Histogram, Hour, Totals, counted, share, watched
from orchestrator.core.verifying import Outcome, Verifying
from orchestrator.core.wire import decode, encode

LONG_SETTLED = situation(phase_since=0.0)
JUST_SETTLED = situation(phase_since=99.0)


def incident(id: int, outcome: str = "ok", *, told: bool = True, total_ms: float = 96.0, **more: object) -> Incident:
    steps = (Step("fence", 0.0, 9.0), Step("drain", 9.0, 22.0)) if told else ()
    words = {"kind": "failover", "trigger": "auto", "actor": "orchestrator", "reason": "", "rule": "F5", "began": ""}
    where = {"origin": DB_B, "target": DB_A}
    return replace(Incident(id, **words, epoch=id, **where, outcome=outcome, total_ms=total_ms, steps=steps), **more)


def test_a_failover_is_counted_once_with_its_outage_and_its_phases():
    once = counted(Totals(), LONG_SETTLED, [incident(7)])
    assert once.operations == {"failover/auto/ok": 1}
    assert once.outages["failover/auto"] == Histogram((0, 0, 1, *[0] * 9), 0.096)
    assert set(once.steps) == {"fence", "drain"}
    assert counted(once, LONG_SETTLED, [incident(7)]) == once


def test_incidents_come_newest_first_too():
    found = counted(Totals(), LONG_SETTLED, [incident(9), incident(8, "aborted", told=False), incident(7)])
    assert (found.operations, found.incident) == ({"failover/auto/ok": 2, "failover/auto/aborted": 1}, 9)


def test_one_that_goes_on_is_waited_for_and_so_is_its_timeline():
    waited = counted(Totals(), JUST_SETTLED, [incident(7), incident(8, "running", told=False)])
    assert waited.operations == {"failover/auto/ok": 1}
    still = counted(waited, JUST_SETTLED, [incident(7), incident(8, told=False)])
    assert still == waited, "the new primary has not reported its phases yet"
    assert counted(still, JUST_SETTLED, [incident(8)]).operations == {"failover/auto/ok": 2}


def test_a_leader_that_died_in_a_failover_leaves_it_running_yet_it_is_counted():
    """Nobody writes its end any more; who is primary then says how it ended, and how long it took nobody knows."""
    left = incident(8, "running", told=False)
    found = counted(Totals(), LONG_SETTLED, [left])
    assert (found.operations, found.outages) == ({"failover/auto/ok": 1}, {})
    back = counted(Totals(), LONG_SETTLED, [replace(left, target=DB_B, origin=DB_A)])
    assert back.operations == {"failover/auto/aborted": 1}
    followed = counted(Totals(), JUST_SETTLED, [left, incident(9, origin=DB_A, target=DB_B)])
    assert followed.operations == {"failover/auto/ok": 2}, "the next one began where this one led"


def returned(verdicts, stage=Stage.VERIFY, **more):
    record = Reconcile(7, 7, DB_B, Rung.REWIND, stage, verdicts=verdicts, **more)
    return replace(LONG_SETTLED, reconcile=Sighting(record, 1, 50.0))


def test_verdicts_of_a_return_grow_while_it_goes_on():
    first = counted(Totals(), returned({"merged": 2}), [])
    then = counted(first, returned({"merged": 5, "quarantined": 1}), [])
    assert then.reconciled == {"merged": 5, "quarantined": 1}
    assert counted(then, returned({"merged": 5, "quarantined": 1}), []) == then
    fresh = counted(then, returned({}), [])
    assert fresh.reconciled == then.reconciled, "an agent that began a new life takes nothing back"
    second = Reconcile(8, 8, DB_B, Rung.REWIND, Stage.VERIFY, verdicts={"merged": 1})
    assert counted(then, replace(LONG_SETTLED, reconcile=Sighting(second, 1, 50.0)), []).reconciled["merged"] == 6


def test_only_what_may_have_been_acknowledged_and_was_discarded_is_lost():
    chosen = (
        Settled("g:1", "discard", "olga", "", "done"),
        Settled("g:2", "apply", "olga", "", "done"),
        Settled("g:3", "discard", "olga", "", "refused"),
    )
    assert counted(Totals(), returned({"discarded": 3, "merged": 9}, settled=chosen), []).lost == 0
    told = counted(Totals(), returned({"discarded": 3}, acknowledged=True, settled=chosen), [])
    assert told.lost == 4
    assert counted(told, returned({"discarded": 3}, acknowledged=True, settled=chosen), []).lost == 4


def test_stages_of_a_return_are_measured_when_it_is_closed():
    began = {"detect": 1000, "bundle": 1500, "closed": 4500}
    going = counted(Totals(), returned({}, began_ms=began), [])
    assert going.stages == {}
    closed = counted(going, returned({}, Stage.CLOSED, began_ms=began), [])
    assert {stage: one.sum_s for stage, one in closed.stages.items()} == {"detect": 0.5, "bundle": 3.0}
    assert counted(closed, returned({}, Stage.CLOSED, began_ms=began), []) == closed


def test_a_comparison_of_each_node_is_counted_once():
    """The old standby still reports its last one beside that of the new one."""
    one = Verifying("v1", outcome=Outcome.EQUAL, equal=30, hot=2)
    other = Verifying("v0", outcome=Outcome.DIFFERS, equal=5, diverged=1)
    s = situation(seen(DB_B, verified=one), seen(DB_A, verified=other))
    found = counted(Totals(), s, [])
    assert found.chunks == {"equal": 35, "hot": 2, "diverged": 1}
    assert counted(found, s, []) == found


def test_the_share_is_that_of_the_last_day():
    totals = watched(Totals(), 100, 60.0, 30.0)
    totals = watched(watched(totals, 100, 40.0, 40.0), 101, 100.0, 100.0)
    assert totals.hours == (Hour(100, 100.0, 70.0), Hour(101, 100.0, 100.0))
    assert share(totals) == (0.85, 200.0)
    later = watched(totals, 124, 10.0, 0.0)
    assert [one.hour for one in later.hours] == [101, 124], "hour 100 is a day ago"
    assert (later.watched_s, later.ready_s) == (210.0, 170.0), "counters never fall"
    assert share(Totals()) == (None, 0.0)


def test_a_clock_that_goes_back_leaves_the_record_bounded():
    totals = Totals()
    for hour in [*range(200, 260), *range(100, 160)]:
        totals = watched(totals, hour, 1.0, 1.0)
    assert len(totals.hours) <= 24
    assert totals.watched_s == 120.0


@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=30), st.sampled_from([OUTAGE_S, STEP_S]))
def test_each_observation_is_in_the_first_bucket_that_holds_it(seconds, bounds):
    found = Histogram()
    for one in seconds:
        found = found.noting(one, bounds)
    below = [sum(one <= bound for one in seconds) for bound in bounds]
    assert [sum(found.counts[: n + 1]) for n in range(len(bounds))] == (below if seconds else [0] * len(bounds))
    assert sum(found.counts) == len(seconds)


def test_the_record_is_read_as_it_was_written():
    totals = watched(counted(Totals(), LONG_SETTLED, [incident(7)]), 100, 60.0, 30.0)
    assert decode(Totals, encode(totals)) == totals
