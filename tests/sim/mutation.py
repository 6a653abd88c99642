"""One planted protocol error, in the product's own functions, and whether the simulator finds it.

A mutant exchanges the code of a function while it plays, so that tables and bound methods that hold the function see it
too.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import CodeType
from typing import Any

from tests.sim.stories import tell
from tests.sim.world import play


@contextmanager
def edited(function: Callable[..., Any], *changes: tuple[str, str]) -> Iterator[None]:
    """`function` with each first text replaced by the second; a text that is not there is an error of the mutant."""
    before: CodeType = function.__code__
    source = textwrap.dedent(inspect.getsource(function))
    source = source[source.index("def ") :]
    for old, new in changes:
        assert old in source, f"{function.__qualname__} no longer contains {old!r}"
        source = source.replace(old, new)
    names = dict(function.__globals__)
    exec("from __future__ import annotations\n" + source, names)
    function.__code__ = names[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = before


VARIANTS = 4  # of its story, each with other clocks and latencies, until it must be found
Edit = tuple[Callable[..., Any], tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Mutant:
    name: str
    found_by: str | int  # the story, or the seed, that must find it
    edits: tuple[Edit, ...]


def planted(
    name: str, found_by: str | int, function: Callable[..., Any], *changes: tuple[str, str], also: tuple[Edit, ...] = ()
) -> Mutant:
    """A mutant of one function, and of whatever else would make it good."""
    return Mutant(name, found_by, ((function, changes), *also))


def hunt(mutant: Mutant, plays: Iterable[str | int]) -> str | None:
    """What it was found by, among stories (by name) and seeds, in that order; None if it survives them all."""
    with ExitStack() as stack:
        for function, changes in mutant.edits:
            stack.enter_context(edited(function, *changes))
        for one in plays:
            for variant in range(VARIANTS) if isinstance(one, str) else (0,):
                result = tell(one, variant) if isinstance(one, str) else play(one)
                if result.violation:
                    return f"{'story' if isinstance(one, str) else 'seed'} {one!r} ({variant}): {result.violation}"
    return None
