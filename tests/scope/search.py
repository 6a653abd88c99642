"""Every way in which the small pair can go, as long as at most so many things happen out of turn.

Left alone the pair does one thing after another until it rests; clients may write at any point. Something out of turn
is a fault, an operator's request, or a step that comes before others that were due: whoever was due is late. All
choices of up to `turns` of them are tried, at every point.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.scope.effects import Broken
from tests.scope.moves import Move, by_itself, faults, in_time, writes
from tests.scope.state import State, steady


@dataclass
class Found:
    states: int = 0
    steps: int = 0  # of the longest way
    complete: bool = True
    broken: str = ""
    way: list[str] = field(default_factory=list)  # to the broken promise
    rules: set[str] = field(default_factory=set)

    def line(self) -> str:
        return (
            f"{self.states} states{'' if self.complete else ', then stopped'}, the longest way has {self.steps} steps, "
            f"rules {' '.join(sorted(self.rules))}; {self.broken or 'no promise is broken'}"
        )


def search(turns: int, writes: int, states_max: int = 1_000_000) -> Found:
    """From a healthy pair to which clients write `writes` times.

    States come in the order of how much is out of turn in them, nearest first. Stops at the first broken promise.
    """
    found, first = Found(), steady(writes)
    numbers = {first: 0}  # of each state that was met
    states, cost, depth = [first], [0], [0]
    ways: list[tuple[int, str]] = [(-1, "")]
    queue, done = deque([(0, 0)]), set[tuple[int, int]]()
    while queue:
        at, paid = queue.popleft()
        if cost[at] < paid or (at, paid) in done:
            continue  # met again with less out of turn
        done.add((at, paid))
        s = states[at]
        found.steps = max(found.steps, depth[at])
        if len(states) >= states_max:
            found.complete = False
            break
        try:
            for due, (name, after) in _moves(s, may_choose=paid < turns):
                price, number = paid + (not due), numbers.setdefault(after, len(states))
                if number == len(states):
                    states.append(after)
                    cost.append(price + 1)
                    depth.append(0)
                    ways.append((at, name))
                    found.rules.add(after.desired.rule)
                if price < cost[number]:
                    cost[number], depth[number], ways[number] = price, depth[at] + 1, (at, name)
                    (queue.appendleft if due else queue.append)((number, price))
        except Broken as broken:
            found.broken, found.way = str(broken), _way(ways, at)
            break
    found.states = len(states)
    return found


def _moves(s: State, *, may_choose: bool) -> Iterator[tuple[bool, Move]]:
    """Each move, and whether it was due: writes, and the first that happens by itself, or else that time brings."""
    due = True
    for move in by_itself(s):
        if move[1] != s:
            yield due, move
            due = False
            if not may_choose:
                break
    for move in in_time(s) if due or may_choose else ():
        if move[1] != s:
            yield due, move
            due = False
            if not may_choose:
                break
    for move in writes(s):
        yield True, move
    if may_choose:
        for move in faults(s):
            yield False, move


def _way(ways: list[tuple[int, str]], at: int) -> list[str]:
    names: list[str] = []
    while at:
        at, name = ways[at]
        names.append(name)
    return names[::-1]
