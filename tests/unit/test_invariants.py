"""Each invariant, broken by hand: it is named, whoever made the plan."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agents.converge import LOG_IN, Action, Local
from agents.invariants import check_plan
from agents.steps import Order, Steps
from orchestrator.coordination.paths import Paths
from orchestrator.core.admission import admit
from orchestrator.core.errors import InvariantBroken, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.invariants import check_return, lacking, older, unreturned
from orchestrator.core.model import Certified, Goal, Mode, Mysqld, Role
from orchestrator.core.reconcile import Merge, Reconcile
from orchestrator.core.requests import Kind
from orchestrator.core.returning import Returning, Rung, Stage
from orchestrator.core.rules import decide
from tests.builders import DB_A, DB_B, UUID_A, request, seen, situation
from tests.fakes import FakeClock, FakeCoordinator

TAKE_OVER = (
    Action.STOP_RECEIVER,
    Action.DRAIN,
    Action.WRITE_PROMOTION,
    Action.TAKE_LEASE,
    Action.RELAX,
    Action.SET_WRITABLE,
    Action.ADD_ADDRESS,
    Action.OPEN_GATE,
)
ANEW = (*LOG_IN, Action.START_REPLICA)
RECEIVING = Local(Mysqld.RUNNING, "me", receiving=True, applying=True, follows_peer=True, errant=False)
WAITING = replace(RECEIVING, receiving=False, applying=False, commits_waiting=True, source_on=True)


def goal(role: Role = Role.PRIMARY, mode: Mode = Mode.ASYNC, heir: str | None = "me") -> Goal:
    return Goal(role, mode, 8, 42, DB_A, heir, Certified(DB_B, "db-b/1") if mode is Mode.SYNC else None)


def without(*left_out: Action) -> tuple[Action, ...]:
    return tuple(action for action in TAKE_OVER if action not in left_out)


def test_a_whole_take_over_breaks_nothing():
    check_plan(goal(), RECEIVING, TAKE_OVER)


@pytest.mark.parametrize(
    ("broken", "wanted", "local", "actions"),
    [
        ("I1", goal(Role.PREPARE), RECEIVING, TAKE_OVER),
        ("I2", goal(mode=Mode.SYNC), RECEIVING, without(Action.RELAX)),
        ("I3", goal(), RECEIVING, without(Action.STOP_RECEIVER)),
        ("I4", goal(), RECEIVING, without(Action.WRITE_PROMOTION)),
        ("I5", goal(), WAITING, (Action.RELAX,)),
        ("I5", goal(mode=Mode.SYNC), WAITING, (Action.RELAX,)),
        ("I5", goal(Role.STANDBY), WAITING, (Action.RELAX,)),
        ("I6", goal(), RECEIVING, without(Action.TAKE_LEASE, Action.RELAX)),
        ("I6", goal(Role.STANDBY), Local(Mysqld.DEAD, gate_open=True, lease_open=True), (Action.RELEASE,)),
        ("I7", goal(), RECEIVING, without(Action.SET_WRITABLE)),
        ("I7", goal(Role.STANDBY), replace(RECEIVING, gate_open=True), (Action.START_REPLICA,)),
        ("I7", goal(Role.FENCED), RECEIVING, (Action.START_REPLICA,)),
        ("I8", goal(Role.RETURNING), replace(RECEIVING, errant=True), (Action.START_REPLICA,)),
        ("I8", goal(Role.RETURNING), replace(RECEIVING, errant=None), (Action.CONFIGURE_CHANNEL,)),
        ("I8", goal(Role.RETURNING), replace(RECEIVING, errant=True, receiving=False), ANEW),
        ("I8", goal(Role.RETURNING), replace(RECEIVING, errant=True, applying=False), ANEW),
        ("I8", goal(Role.RETURNING), replace(RECEIVING, errant=True, follows_peer=False), ANEW),
        ("I11", goal(Role.STANDBY), replace(WAITING, relaxed=True), (Action.SOURCE_OFF,)),
        ("I11", goal(Role.STANDBY), replace(RECEIVING, lease_open=True, locked=False), (Action.RELEASE,)),
        ("I12", goal(heir="another"), RECEIVING, TAKE_OVER),
        ("I15", goal(), replace(RECEIVING, unreturned="half-rewound"), TAKE_OVER),
        ("I15", goal(heir=None), replace(RECEIVING, unreturned="half-rewound"), TAKE_OVER),
        ("I15", goal(Role.RETURNING), replace(RECEIVING, repairing=True), (Action.START_REPLICA,)),
    ],
)
def test_a_plan_that_breaks_one_is_stopped_before_its_first_step(broken, wanted, local, actions):
    with pytest.raises(InvariantBroken, match=f"^{broken}:"):
        check_plan(wanted, local, actions)


def test_who_replicates_may_log_in_anew_whatever_the_primary_has_reported():
    """It goes on with whom it follows."""
    check_plan(goal(Role.STANDBY), replace(RECEIVING, errant=True), ANEW)


def test_a_promotion_file_outlives_the_mysqld_that_was_certified():
    promoted = replace(RECEIVING, receiving=False, promoted=True, drained=True)
    check_plan(goal(heir="another"), promoted, TAKE_OVER[3:])


OWN, PEER = UUID_A, "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"
ERRANT = f"{OWN}:101-103"


@pytest.mark.parametrize(
    ("said", "cut", "executed", "uuid", "named"),
    [
        (Returning(7, rewinding=True, owed=True, errant=ERRANT), "", f"{OWN}:1-103", OWN, "has changed rows back"),
        (Returning(7, owed=True, errant=ERRANT), "", f"{OWN}:1-100", OWN, f"{OWN}:101-103"),
        (Returning(7, owed=True, errant=ERRANT), "", f"{OWN}:1-102", OWN, f"{OWN}:103"),
        (Returning(7, owed=True, errant=ERRANT), "", f"{OWN}:1-103", OWN, ""),
        (Returning(7, owed=True, errant=ERRANT), "", f"{OWN}:1-100", PEER, ""),  # it gives out numbers of its own
        (Returning(7, owed=False, errant=ERRANT), "", f"{OWN}:1-100", OWN, ""),
        (Returning(), ERRANT, f"{OWN}:1-100", OWN, f"{OWN}:101-103"),
        (Returning(), ERRANT, f"{OWN}:1-103", OWN, ""),
        (Returning(), "", "", "", ""),
    ],
)
def test_nobody_has_power_who_is_half_rewound_or_would_use_numbers_again(said, cut, executed, uuid, named):
    why = unreturned(said, cut, executed, uuid)
    assert named in why and bool(why) is bool(named)


@pytest.mark.parametrize("kind", [Kind.FAILOVER, Kind.ADOPT])
def test_not_even_force_makes_a_half_rewound_node_the_primary(kind):
    half = seen(DB_B, returning=Returning(7, rewinding=True, owed=True))
    s = situation(seen(DB_A, report_age_s=60.0, lease_age_s=60.0), half, requests=(request(kind, DB_B),))
    (check,) = [check for check in admit(s.requests["r1"].value, s).checks if check.name == "returned"]
    assert not check.passed and "wait until it is through" in check.detail
    assert decide(s).rule is None or decide(s).rule.id != "F6"


@pytest.mark.parametrize("said", [{"returning": Returning(7, owed=True, errant=ERRANT)}, {"cut": ERRANT}])
def test_force_waits_until_a_dead_mysqld_can_tell_which_numbers_are_back(said):
    dead = seen(DB_B, mysqld=Mysqld.DEAD, identity={}, executed="", **said)
    s = situation(seen(DB_A, report_age_s=60.0, lease_age_s=60.0), dead, requests=(request(Kind.FAILOVER, DB_B),))
    (check,) = [check for check in admit(s.requests["r1"].value, s).checks if check.name == "returned"]
    assert not check.passed and "only while its mysqld runs" in check.detail
    assert decide(s).rule is None or decide(s).rule.id != "F6"


RETURN = Reconcile(42, 7, DB_B, Rung.REWIND, Stage.REWIND, Merge.RUNNING, ERRANT, sums="s1")
BROKEN: dict[str, dict[str, Any]] = {
    "numbers": {"id": 41},
    "ends before": {"id": 43},
    "stage": {"stage": Stage.BUNDLE},
    "evidence stays": {"sums": "s2"},
    "of stays": {"errant": f"{OWN}:101"},
}


@pytest.mark.parametrize("named", BROKEN)
def test_a_step_of_a_return_that_goes_back_is_stopped(named):
    with pytest.raises(InvariantBroken, match=f"I16: .*{named}"):
        check_return(RETURN, replace(RETURN, **BROKEN[named]))


def test_no_rung_comes_again_and_no_merge_is_undone():
    cloning = replace(RETURN, rung=Rung.CLONE, stage=Stage.CLONE, merge=Merge.DONE)
    check_return(RETURN, cloning)
    with pytest.raises(InvariantBroken, match="I16: no rung"):
        check_return(cloning, replace(RETURN, merge=Merge.DONE))
    with pytest.raises(InvariantBroken, match="I16: a merge"):
        check_return(cloning, replace(cloning, merge=Merge.RUNNING))


def test_a_person_may_let_one_that_stopped_go_on_and_one_that_was_closed_too_early_is_opened_again():
    stopped = replace(RETURN, rung=Rung.CLONE, stage=Stage.STOPPED)
    check_return(stopped, replace(stopped, stage=Stage.CLONE, attempt=1))
    check_return(replace(RETURN, stage=Stage.CLOSED), replace(RETURN, stage=Stage.BUNDLE))
    check_return(None, RETURN)


def test_nothing_older_than_what_was_followed_is_obeyed():
    assert older((7, 40), (7, 41)) and older((6, 99), (7, 1))
    assert not older((7, 41), (7, 41)) and not older((8, 1), (7, 41))


def test_a_standby_that_lacks_what_it_was_certified_to_hold_is_not_promoted():
    """Somebody threw away its relay logs behind the agent's back."""
    certified, executed = f"{UUID_A}:1-9", f"{UUID_A}:1-7"
    assert lacking(GtidSet.parse(certified), GtidSet.parse(executed)) == GtidSet.parse(f"{UUID_A}:8-9")
    written: list[object] = []
    server = SimpleNamespace(facts=lambda: SimpleNamespace(backlog=GtidSet(), executed=executed))
    memory = SimpleNamespace(write_promotion=written.append)
    nobody = cast(Any, None)
    steps = Steps(
        DB_B, Paths("main"), FakeCoordinator(), nobody, nobody, nobody, cast(Any, server), cast(Any, memory),
        nobody, FakeClock(), 4, nobody, nobody,
    )  # fmt: skip
    order = Order(goal(Role.PREPARE), 0, "me", certified=certified)
    with pytest.raises(StepFailed, match=f"I2: certified to hold {UUID_A}:8-9"):
        steps.run(Action.WRITE_PROMOTION, order)
    assert not written
    steps.run(Action.WRITE_PROMOTION, replace(order, certified=executed))
    assert written
