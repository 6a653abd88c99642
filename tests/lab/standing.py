"""A lab of its own for the tests of one folder, which is gone when they are over."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.stand import Stand


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@contextmanager
def standing(name: str, command: str) -> Iterator[Stand]:
    """`name` unless KEMBAR_LAB says another; `command` is what root would type."""
    if os.geteuid() != 0:
        pytest.fail(f"the lab needs root: sudo {command}")
    found = Stand(os.environ.get("KEMBAR_LAB", name))
    found.down()  # of a run that was cut short
    try:
        found.up("fast", say, port=0)
        yield found
    finally:
        found.down()
