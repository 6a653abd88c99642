"""One lab for all that is looked at, and windows of a headless Chromium on its page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from lab import faults
from lab.browser import Programs, find_programs, opened
from lab.stand import Stand
from tests.lab.standing import standing
from tests.lab.story import Story
from tests.web.window import Window


@pytest.fixture(scope="session")
def stand() -> Iterator[Stand]:
    with standing("web", "make test-web") as found:
        yield found


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
