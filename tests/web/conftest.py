"""One lab for all that is looked at, and windows of a headless Chromium on its page."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from lab import faults
from lab.browser import Programs, find_programs, opened
from lab.stand import Stand
from tests.lab.story import Story
from tests.web.window import Window

NAME = os.environ.get("KEMBAR_LAB", "web")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@pytest.fixture(scope="session")
def stand() -> Iterator[Stand]:
    if os.geteuid() != 0:
        pytest.fail("the lab needs root: sudo make test-web")
    found = Stand(NAME)
    found.down()  # of a run that was cut short
    try:
        found.up("fast", _say, port=0)
        yield found
    finally:
        found.down()


@pytest.fixture(scope="session")
def programs() -> Programs:
    return find_programs()


@pytest.fixture
def story(stand: Stand) -> Story:
    """The pair is whole."""
    told = Story(stand)
    faults.heal(stand)
    told.healthy()
    return told


@pytest.fixture
def window(stand: Stand, programs: Programs) -> Iterator[Callable[..., Window]]:
    """Opens one; `opened` says what can be chosen."""
    with ExitStack() as stack:
        yield lambda **chosen: Window(stack.enter_context(opened(programs, **chosen)), stand.facts())
