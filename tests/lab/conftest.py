"""One lab a module, and each story begins with a healthy pair."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from lab import faults
from lab.stand import Stand
from orchestrator.core.errors import StepFailed
from tests.lab.story import Story

NAME = os.environ.get("KEMBAR_LAB", "test")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    if os.geteuid() != 0:
        pytest.fail("the lab needs root: sudo make test")
    found = Stand(NAME)
    found.down()  # of a run that was cut short
    try:
        found.up("fast", _say, port=0)
        yield found
    finally:
        found.down()


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
        stand.up("fast", _say, port=0)
    return told
