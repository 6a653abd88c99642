"""A seed that violates a promise, with as few faults as still make it do so."""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.world import Result

Play = Callable[[frozenset[int]], Result]  # of one seed, without the faults of these numbers


def shrink(count: int, play: Play) -> tuple[frozenset[int], Result]:
    """The numbers to leave out of `count` faults so that each that is left is needed, and that play's result.

    Halves are tried before single faults, as most faults of a storm have nothing to do with it. Raises ValueError if
    the whole seed violates nothing.
    """
    dropped, shortest = frozenset[int](), play(frozenset())
    if not shortest.violation:
        raise ValueError(f"seed {shortest.seed} violates nothing: there is nothing to shrink")
    size = max(1, count // 2)
    while True:
        before = dropped
        kept = [number for number in range(count) if number not in dropped]
        for first in range(0, len(kept), size):
            without = dropped | frozenset(kept[first : first + size])
            result = play(without)
            if result.violation:
                dropped, shortest = without, result
        if size > 1:
            size //= 2
        elif dropped == before:
            return dropped, shortest
