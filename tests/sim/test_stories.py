"""One trouble at a time: what must happen, and that nothing is lost by it."""

from __future__ import annotations

import pytest

from tests.sim.stories import STORIES, tell


@pytest.mark.parametrize("name", STORIES)
def test_the_story_ends_well(name: str):
    """Healthy again at the end, by the rules that its story names; without a person, if nobody made data diverge."""
    result = tell(name)
    print(result.timeline())
    assert not result.violation
