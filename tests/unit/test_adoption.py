"""ZooKeeper lost its data: who is recorded as primary anew, in which epoch, and when nobody is."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.admission import admit
from orchestrator.core.adoption import last_primary, next_epoch
from orchestrator.core.analysis import Finding, analyze, primary_silent
from orchestrator.core.invariants import check_step
from orchestrator.core.model import DEFAULT, Cluster, Fence, Lease, LeaseState, Mode, Phase, Report
from orchestrator.core.requests import Kind
from orchestrator.core.rules import decide, waiting
from orchestrator.core.situation import Situation
from orchestrator.core.transitions import Revoke
from tests.builders import (
    DB_A,
    DB_B,
    EPOCH,
    LEASE_VERSION,
    NOW,
    fencing,
    promoting,
    request,
    seen,
    situation,
    switching,
)

FRESH = Cluster(1, 1, DB_A, Mode.ASYNC, Phase.REJOINING, rule="new")
B_SERVED = {"remembered_epoch": 7, "remembered_seq": 40, "opened_epoch": 7}
LONG_S = DEFAULT.timing.fence_wait_s + 1.0
A_SERVED_BEFORE = {"remembered_epoch": 7, "remembered_seq": 39, "opened_epoch": 6}


def forgotten(a: dict[str, Any] = A_SERVED_BEFORE, b: dict[str, Any] = B_SERVED, **changes: Any) -> Situation:
    """The cluster was provisioned anew and names db-a; both agents remember epoch 7, in which db-b served."""
    return situation(
        seen(DB_A, lease=Lease(), lease_version=0, **{"report_age_s": 0.1, **a}),
        seen(DB_B, lease=Lease(), lease_version=0, **{"report_age_s": 0.1, **b}),
        **{"cluster": FRESH, **changes},
    )


def adopt(to: str) -> Any:
    return request(Kind.ADOPT, to, epoch=1)  # type: ignore[arg-type]


def test_nothing_is_decided_and_the_wait_names_the_command():
    s = forgotten()
    assert analyze(s) is Finding.RECORD_OLD
    assert decide(s).rule is None
    assert "kembar adopt --reason" in waiting(s)


def test_a_record_that_agents_have_left_behind_begins_no_failover():
    """It may say SYNC of a time before the last ASYNC writes, which the standby it names lacks."""
    remembered = {"remembered_epoch": EPOCH, "remembered_seq": 99}
    restored = situation(
        seen(DB_A, lease_age_s=LONG_S, report_age_s=LONG_S), seen(DB_B, receiver_connected=False, **remembered)
    )
    assert restored.standby_certified() and restored.armed() and primary_silent(restored)
    assert decide(restored).rule is None
    assert waiting(restored).startswith("F1 would begin now") and "kembar adopt" in waiting(restored)


@pytest.mark.parametrize("rule", ["F2", "F4", "S2", "S3"])
def test_a_record_that_agents_have_left_behind_gives_no_power(rule):
    """What ZooKeeper forgot may be that the other node took over, and served."""
    made = {
        "F2": lambda **b: fencing(seen(DB_B, epoch=8, **b), fenced_age_s=60.0),
        "F4": lambda **b: promoting(seen(DB_B, **{"epoch": 8, "incarnation": "db-b/2", **b})),
        "S2": lambda **b: switching(
            seen(DB_A, lease=Lease(LeaseState.RELEASED, EPOCH, why="handover"), lease_version=LEASE_VERSION + 1),
            seen(DB_B, **b),
        ),
        "S3": lambda **b: switching(seen(DB_B, **b), phase_since=NOW - 60.0),
    }[rule]
    fired = decide(made()).rule
    assert fired is not None and fired.id == rule
    left_behind = made(remembered_epoch=9, remembered_seq=1)
    assert decide(left_behind).rule is None
    assert "kembar adopt" in waiting(left_behind)


def test_no_planned_move_is_admitted_on_a_record_that_agents_have_left_behind():
    s = situation(seen(DB_B, remembered_epoch=EPOCH, remembered_seq=99))
    assert "newest" in [check.name for check in admit(request(), s).checks if not check.passed]


def test_the_node_that_served_last_becomes_primary_above_every_remembered_epoch():
    s = forgotten(requests=(adopt(DB_B),))
    decision = decide(s)
    assert decision.rule is not None and decision.rule.id == "F6"
    wanted = decision.cluster
    assert (wanted.epoch, wanted.primary, wanted.phase, wanted.mode) == (8, DB_B, Phase.FENCING, Mode.ASYNC)
    assert wanted.promotable is None and wanted.heir is None
    check_step(s.cluster, wanted)


@pytest.mark.parametrize(("to", "other"), [(DB_B, DB_A), (DB_A, DB_B)])
def test_the_other_node_is_fenced_whoever_the_record_named(to, other):
    b, a = (B_SERVED, A_SERVED_BEFORE) if to == DB_B else (A_SERVED_BEFORE, B_SERVED)
    decision = decide(forgotten(a, b, requests=(adopt(to),)))
    assert decision.cluster.fence == Fence(other, 0, "waited")
    (revoke,) = [guard for guard in decision.guards if isinstance(guard, Revoke)]
    assert (revoke.node, revoke.version, revoke.lease.state) == (other, 0, LeaseState.REVOKED)


@pytest.mark.parametrize(
    ("check", "s", "to"),
    [
        ("target", forgotten(), DB_A),
        ("heard", forgotten(a={"report_age_s": 10.0}), DB_B),
        ("heard", forgotten(hearing_since=NOW - 1.0), DB_B),  # what is there may have come with a restored snapshot
        ("older", forgotten(a={}, b={}), DB_A),
        ("older", forgotten(cluster=Cluster(8, 50, DB_B, Mode.ASYNC, Phase.REJOINING)), DB_B),
    ],
)
def test_what_refuses_it(check, s, to):
    asked = request(Kind.ADOPT, to, epoch=s.cluster.epoch)
    assert check in [one.name for one in admit(asked, s).checks if not one.passed]


def test_an_older_record_of_the_same_epoch_is_no_less_forgotten():
    """A restored snapshot may say SYNC of an epoch whose ASYNC writes the standby lacks."""
    s = forgotten(cluster=Cluster(7, 38, DB_B, Mode.SYNC, Phase.STEADY))
    assert analyze(s) is Finding.RECORD_OLD


@pytest.mark.parametrize(
    ("reports", "served"),
    [
        ((Report(DB_A, remembered_epoch=7, opened_epoch=7), Report(DB_B, remembered_epoch=7, opened_epoch=6)), DB_A),
        ((Report(DB_A, remembered_epoch=7, opened_epoch=7), Report(DB_B)), DB_A),
        # A later epoch named the other node, which may have opened unseen.
        ((Report(DB_A, remembered_epoch=7, opened_epoch=7), Report(DB_B, remembered_epoch=8, opened_epoch=6)), None),
        ((Report(DB_A, remembered_epoch=7, opened_epoch=7), Report(DB_B, remembered_epoch=7, opened_epoch=7)), None),
        ((Report(DB_A), Report(DB_B)), None),
        ((), None),
    ],
)
def test_who_served_last(reports, served):
    assert last_primary(reports) == served


def test_the_new_epoch_is_above_whatever_anybody_remembers():
    assert next_epoch(FRESH, [Report(DB_A, remembered_epoch=7), Report(DB_B, remembered_epoch=9)]) == 10
    assert next_epoch(FRESH, []) == 2
