"""No way of the small pair breaks a promise; and planted errors show that one would be found."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from agents import converge
from orchestrator.core import conditions, transitions
from orchestrator.core.rules import RULES
from orchestrator.core.situation import Situation
from tests.scope import effects, moves
from tests.scope.search import search
from tests.scope.state import told
from tests.sim.mutation import edited

OUTSIDE = {"F6"}  # a forced failover accepts loss


def test_nothing_out_of_turn_breaks_a_promise():
    """Any two faults or delays at any two points, a write anywhere between; `make scope` goes further."""
    found = search(turns=2, writes=1)
    print(found.line())
    assert not found.broken, "\n".join([*found.way, found.broken])
    assert found.complete
    assert found.rules >= {rule.id for rule in RULES} - OUTSIDE


def test_three_things_out_of_turn_as_far_as_there_is_time():
    found = search(turns=3, writes=0, states_max=100_000)
    print(found.line())
    assert not found.broken, "\n".join([*found.way, found.broken])


PLANTED = {
    "the receiver is not stopped before the drain": (
        (converge._take_what_was_received, ("Action.STOP_RECEIVER, Action.DRAIN", "Action.DRAIN")),
    ),
    "no drain": (
        (converge._take_what_was_received, ("Action.DRAIN, Action.WRITE_PROMOTION", "Action.WRITE_PROMOTION")),
        (effects._write_promotion, ("if not node.received <= node.executed:", "if False:")),
    ),
    "a revoke counts as a release": (
        (
            conditions.fence_proven,
            ("sighting.version > fence.lease_version + 1", "True"),
            ("sighting.value.state is LeaseState.RELEASED", "True"),
        ),
    ),
    "U1 keeps the standby promotable": ((transitions.relax, (", promotable=None", "")),),
    "incarnations compared nowhere": (
        (Situation.standby_certified, ("== Certified(self.standby, report.incarnation)", "is not None")),
        (converge.unable, ("if local.incarnation and local.incarnation != goal.heir:", "if False:")),
        (conditions.heir_cannot, ("report.incarnation != s.cluster.heir", "False")),
    ),
    "relaxed without a record": ((converge._open, ("if not local.relaxed:", "if False:")),),
    "a released node is still writable": (
        (converge._demote, ("(Action.FORCE_READ_ONLY,) if writable", "() if writable")),
    ),
    "C1 without a look at the version": ((moves._written, ("or s.desired.seq != view.desired.seq", "")),),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_error_is_found(name: str):
    """A search that finds nothing in a broken protocol proves nothing of the whole one."""
    with ExitStack() as stack:
        for function, *changes in PLANTED[name]:
            stack.enter_context(edited(function, *changes))
        stack.callback(forget)
        forget()
        found = search(turns=2, writes=1)
    print("\n".join([*found.way, found.broken]))
    assert found.broken


def forget() -> None:
    """What was decided with other code counts no more."""
    for cached in (moves._decisions, moves._order, told):
        cached.cache_clear()
