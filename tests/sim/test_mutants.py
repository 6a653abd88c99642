"""The simulator can tell right from wrong: every planted protocol error is found, by its own story, within four plays.

Unchanged, each of these stories ends well (test_stories). All of them take less than half a minute of a core.
"""

from __future__ import annotations

import pytest

from tests.sim.mutants import MUTANTS
from tests.sim.mutation import Mutant, edited, hunt


@pytest.mark.parametrize("planted", MUTANTS, ids=lambda planted: planted.name)
def test_a_planted_error_is_found(planted: Mutant):
    """One that survives asks for a sharper story, or for a model that knows more."""
    assert hunt(planted, [planted.found_by]), f"{planted.name} survives {planted.found_by!r}"


def test_an_edit_ends_with_its_play():
    """Else every later test would judge another product."""

    def answer() -> int:
        return 1

    with edited(answer, ("return 1", "return 2")):
        assert answer() == 2
    assert answer() == 1


def test_an_edit_of_what_is_not_there_is_refused():
    """A mutant that no longer changes anything would be found by nobody, or for another reason."""
    with pytest.raises(AssertionError), edited(hunt, ("no such text", "")):
        pass
