"""What a failover would cost now: it may never promise one that the rules would not carry out."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from builders import DB_A, DB_B, EPOCH, NOW, STEADY, UUID_A, fencing, rejoining, seen, situation

from orchestrator.core.history import Incident, Step
from orchestrator.core.model import LeaseState, Mode, Mysqld, Policy, Sync, SyncState
from orchestrator.core.readiness import readiness
from orchestrator.core.rules import decide
from orchestrator.core.unreadable import Record, Unreadable

STANDBY_SAYS = {
    "healthy": {},
    "restarted": {"incarnation": "db-b/2"},
    "mysqld dead": {"mysqld": Mysqld.DEAD},
    "errant": {"errant": f"{UUID_A}:200"},
    "applier stopped": {"applier_error": "1062 duplicate"},
    "state directory lost": {"memory": "read-only"},
    "not durable": {"durable": False},
    "receiver off": {"receiver_running": False, "receiver_connected": False},
    "refused": {"refusals": ("sync_binlog=0",)},
    "silent": {"report_age_s": 9.0},
}
PAIR_SAYS = {
    "as it is": {},
    "mode ASYNC": {"mode": Mode.ASYNC},
    "not certified": {"promotable": None},
    "paused": {"paused": True},
    "hold-down": {"hold_down": True},
    "maintenance": {"policy": Policy(maintenance=("db-b",))},
    "policy unreadable": {"unreadable": (Unreadable(Record.POLICY, "/kembar/shop/policy", "not JSON"),)},
    "leader unreadable": {"unreadable": (Unreadable(Record.LEADER, "/kembar/shop/leader", "not JSON"),)},
    "not hearing": {"hearing_since": NOW},
}
SYNC_SAYS = {
    "armed": {},
    "relaxed": {"sync": {"state": SyncState.RELAXED}},
    "of an earlier epoch": {"sync": {"epoch": EPOCH - 1}},
}
EXITED = {"lease": {"state": LeaseState.RELEASED, "why": "exited"}, "mysqld": Mysqld.DEAD, "gate_open": False}


def worlds():
    for standby in STANDBY_SAYS:
        for one, other in combinations(PAIR_SAYS, 2):
            for sync in SYNC_SAYS:
                changes = {**PAIR_SAYS[one], **PAIR_SAYS[other]}
                yield STANDBY_SAYS[standby], changes, SYNC_SAYS[sync]


def test_what_is_called_automatic_begins_when_the_primary_exits():
    """All of the small space: 1080 pairs, each once more with its mysqld gone."""
    promised = 0
    for standby, changes, sync in worlds():
        found = readiness(situation(seen(DB_B, **standby), seen(DB_A, **sync), **changes))
        then = decide(situation(seen(DB_B, **standby), seen(DB_A, **sync, **EXITED), **changes))
        begins = then.rule is not None and then.rule.id == "F5"
        promised += found.automatic
        assert begins or not found.automatic, (standby, changes, sync)
        assert found.ready or not found.automatic
        assert bool(found.because) == (found.promotable is not True)
    assert promised, "it must promise something"


def test_what_begins_was_promised_or_its_certificate_was_about_to_go():
    """What else would begin: what U3 takes within a tick, a standby that only lost its source or is to be mended."""
    for standby, changes, sync in worlds():
        before = situation(seen(DB_B, **standby), seen(DB_A, **sync), **changes)
        then = decide(situation(seen(DB_B, **standby), seen(DB_A, **sync, **EXITED), **changes))
        found, rule = readiness(before), decide(before).rule
        if then.rule is None or then.rule.id != "F5" or found.automatic or found.promotable is None:
            continue
        withdrawn = rule is not None and rule.id == "U3"
        assert withdrawn or "receiver off" in found.because or "refused" in found.because


REASONS = {
    "it is silent": (situation(seen(DB_B, report_age_s=9.0)), False, ("not heard",)),
    "its mysqld has restarted": (situation(seen(DB_B, incarnation="db-b/2")), False, ("restarted since",)),
    "a failover is under way": (fencing(), False, ("the pair is FENCING",)),
    "the source has begun to let commits go": (
        situation(seen(DB_A, sync={"state": SyncState.DEGRADED})),
        False,
        ("commits do not wait for it",),
    ),
    "settings no longer keep what is acknowledged": (
        situation(seen(DB_A, durable=False)),
        False,
        ("its certificate is about to be withdrawn",),
    ),
    "nobody is heard": (situation(hearing_since=NOW), None, ("no node is heard",)),
}


@pytest.mark.parametrize(("s", "promotable", "because"), REASONS.values(), ids=REASONS)
def test_why_not(s, promotable, because):
    found = readiness(s)
    assert (found.promotable, found.because, found.ready) == (promotable, because, False)


def test_every_reason_is_given():
    found = readiness(rejoining())
    assert found.because == ("mode ASYNC", "not certified", "restarted since", "commits do not wait for it")


def test_a_pause_takes_the_beginning_not_the_safety():
    found = readiness(situation(paused=True))
    assert (found.ready, found.automatic, found.held) == (True, False, "paused")


LOSSES = {
    "a commit waits for the standby: nothing": (situation(), 0),
    "reports lag, which means nothing while commits wait": (situation(seen(DB_B, executed=f"{UUID_A}:1-60")), 0),
    "in ASYNC what the standby has not": (
        situation(seen(DB_A, sync=Sync(SyncState.RELAXED, EPOCH)), seen(DB_B, executed=f"{UUID_A}:1-60")),
        40,
    ),
    "what it has received it will execute": (
        situation(
            seen(DB_A, sync=Sync(SyncState.RELAXED, EPOCH)),
            seen(DB_B, executed=f"{UUID_A}:1-60", received=f"{UUID_A}:50-90"),
        ),
        10,
    ),
    "but for an applier that stopped": (
        situation(seen(DB_B, executed=f"{UUID_A}:1-60", received=f"{UUID_A}:50-90", applier_error="1062")),
        40,
    ),
    "another life of the standby was the one that acknowledged": (
        situation(seen(DB_B, incarnation="db-b/2", executed=f"{UUID_A}:1-99")),
        1,
    ),
    "a silent standby may have anything": (situation(seen(DB_B, report_age_s=9.0)), None),
    "a silent primary may have committed anything": (
        situation(seen(DB_A, report_age_s=9.0, sync=Sync(SyncState.RELAXED, EPOCH))),
        None,
    ),
}


@pytest.mark.parametrize(("s", "loss"), LOSSES.values(), ids=LOSSES)
def test_what_would_be_lost(s, loss):
    assert readiness(s).loss_transactions == loss


def failover(id: int, total_ms: float, rule: str = "F5", outcome: str = "ok", promote_ms: float = 20.0) -> Incident:
    steps = (Step("fence", 0.0, 9.0), Step("drain", 9.0, 2.0), Step("promote", 11.0, promote_ms))
    words = {"kind": "failover", "trigger": "auto", "actor": "orchestrator", "reason": "", "began": ""}
    where = {"origin": DB_A, "target": DB_B}
    return Incident(id, **words, rule=rule, epoch=id, **where, outcome=outcome, total_ms=total_ms, steps=steps)


def test_the_outage_is_what_the_last_ones_took():
    ended = [failover(n, 50.0 + n) for n in range(1, 10)]
    others = [failover(20, 9000.0, outcome="aborted"), failover(21, 2500.0, rule="F1", promote_ms=30.0)]
    found = readiness(situation(), [*others, *reversed(ended)])
    assert (found.exited_ms, found.measured) == (57.0, 5), "the median of the last five"
    wait_ms = 1000 * situation().lease(DB_A).timing.fence_wait_s
    assert found.silent_ms == wait_ms + 22.0, "the fence wait of the present lease, and the takeover as measured"


def test_nothing_is_invented_where_nothing_was_measured():
    found = readiness(situation())
    assert (found.exited_ms, found.measured) == (None, 0)
    assert found.silent_ms == 1000 * situation().lease(DB_A).timing.fence_wait_s


def test_the_standby_is_whoever_is_not_primary():
    moved = situation(cluster=replace(STEADY, primary=DB_B, promotable=None))
    assert readiness(moved).standby == "db-a"
