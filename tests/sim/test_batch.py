"""What is counted, and what is left of a seed when everything that is not needed has been dropped."""

from __future__ import annotations

import pytest

from orchestrator.core.rules import RULES
from tests.sim.batch import ENOUGH_SEEDS, Total
from tests.sim.coverage import TOGETHER_S, pairs, reachable
from tests.sim.faults import Fault
from tests.sim.shrink import shrink
from tests.sim.world import Result, play


def needing(*numbers: int):
    """A seed that violates something while none of these faults is dropped."""

    def play(dropped: frozenset[int]) -> Result:
        return Result(1, violation="" if dropped & set(numbers) else "two answerers")

    return play


@pytest.mark.parametrize("numbers", [(), (0,), (3, 7), (0, 5, 19), tuple(range(20))], ids=str)
def test_what_is_left_is_exactly_what_is_needed(numbers):
    dropped, result = shrink(20, needing(*numbers))
    assert set(range(20)) - dropped == set(numbers)
    assert result.violation == "two answerers"


def test_a_quiet_seed_cannot_be_shrunk():
    with pytest.raises(ValueError, match="violates nothing"):
        shrink(20, lambda dropped: Result(1))


def test_the_table_makes_every_rule_reachable_and_no_other_transition_than_the_issue_of_a_rule():
    """A rule that no circumstance asks for would be a dead row."""
    assert {text.split(" ")[0] for text in reachable()} == {rule.id for rule in RULES}
    assert "F1 STEADY>FENCING SYNC" in reachable()
    assert not any(text.startswith(("F1", "F5", "S2")) and text.endswith(" ASYNC") for text in reachable()), (
        "nobody is promoted from ASYNC"
    )


def test_a_seed_meets_only_what_is_reachable():
    """Else the table of transitions is not complete, and neither is the count."""
    result = play(2, 20.0)
    assert result.transitions
    assert set(result.transitions) <= reachable()


def test_kinds_are_met_together_when_they_begin_soon_after_one_another():
    faults = [Fault(n, at, kind, 1.0, 0.0, 0.0) for n, (at, kind) in enumerate([(5, "b"), (14, "a"), (40, "c")])]
    assert pairs(faults) == {("a", "b")}
    assert TOGETHER_S >= 9


def test_enough_seeds_that_never_met_a_transition_are_a_failure():
    quiet, loud = Result(1), Result(2, violation="I3")
    few, many, bad = Total(), Total(), Total()
    few.add(quiet, 0.1)
    for _ in range(ENOUGH_SEEDS):
        many.add(quiet, 0.1)
    bad.add(loud, 0.1)
    assert (few.failed(), many.failed(), bad.failed()) == (False, True, True)
    assert bad.violations == {2: "I3"}
    assert "F1 STEADY>FENCING SYNC" in many.missing()
