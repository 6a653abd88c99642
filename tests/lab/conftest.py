"""One lab a module, and each story begins with a healthy pair."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import faults
from lab.stand import Stand
from orchestrator.core.errors import StepFailed
from tests.lab.standing import say, standing
from tests.lab.story import Story


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with standing("test", "make test") as found:
        yield found


@pytest.fixture
def story(stand: Stand) -> Story:
    """The pair is whole; one that a failed story has left beyond repair is made anew."""
    told = Story(stand)
    try:
        faults.heal(stand)
        if told.healthy()["auto_failover"] == "paused":  # a story failed in its pause
            told.kembar("resume")
    except StepFailed:
        stand.down()
        stand.up("fast", say, port=0)
    return told
