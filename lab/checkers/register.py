"""Each key is one register: its reads, writes and exchanges have an order that respects real time. Pure.

Wing and Gong's search with the states that were already tried kept, per key. An unknown call may have taken effect at
any time since it was sent, or never.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.checkers.calls import Call, Kind

KINDS = frozenset({Kind.READ, Kind.WRITE, Kind.CAS})
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _State:
    """Which calls are in the order so far, and the value after them.

    All known ones before `first` are, and those in `ahead`; of the unknown ones those in `taken`.
    """

    first: int = 0
    ahead: frozenset[int] = _NONE
    taken: frozenset[int] = _NONE
    value: Any = None

    @property
    def placed(self) -> int:
        return self.first + len(self.ahead)


def check(calls: Sequence[Call]) -> list[str]:
    """One violation for each key that has no such order. Every key begins as None."""
    keys: dict[Any, list[Call]] = defaultdict(list)
    for call in calls:
        if call.kind in KINDS and (call.ok or (call.unknown and call.kind is not Kind.READ)):
            keys[call.given if call.kind is Kind.READ else call.given[0]].append(call)
    return [found for key, mine in keys.items() if (found := _Search(mine).violation(key))]


@dataclass(slots=True)
class _Search:
    calls: Sequence[Call]
    known: list[Call] = field(init=False)
    unknown: list[Call] = field(init=False)

    def __post_init__(self) -> None:
        self.known = sorted((call for call in self.calls if call.ok), key=lambda call: call.began)
        self.unknown = [call for call in self.calls if call.unknown]

    def violation(self, key: Any) -> str:
        """Empty if there is an order; else how far the longest one came."""
        state = furthest = _State()
        tried, waiting = {state}, [state]
        while waiting:
            state = waiting.pop()
            if state.first == len(self.known):
                return ""
            if state.placed > furthest.placed:
                furthest = state
            for after in self._after(state):
                if after not in tried:
                    tried.add(after)
                    waiting.append(after)
        stuck = "; ".join(str(self.known[place]) for place in self._next(furthest)[0])
        return (
            f"key {key}: no order for {len(self.known)} calls; {furthest.placed} fit and leave {furthest.value}, then "
            f"none of: {stuck}"
        )

    def _next(self, state: _State) -> tuple[list[int], float]:
        """The known calls that may come next, and until when the next one must have begun."""
        places, until = [], float("inf")
        for place in range(state.first, len(self.known)):
            if self.known[place].began > until:
                break
            if place not in state.ahead:
                places.append(place)
                until = min(until, self.known[place].ended)
        return places, until

    def _after(self, state: _State) -> Iterator[_State]:
        """Every state that is one call further; those that end soonest come last, as they are tried first."""
        places, until = self._next(state)
        for place, call in enumerate(self.unknown):
            if place not in state.taken and call.began <= until:
                possible, value = _apply(call, state.value, unknown=True)
                if possible:
                    yield _State(state.first, state.ahead, state.taken | {place}, value)
        for place in sorted(places, key=lambda place: -self.known[place].ended):
            possible, value = _apply(self.known[place], state.value)
            if possible:
                yield self._placed(state, place, value)

    def _placed(self, state: _State, place: int, value: Any) -> _State:
        if place != state.first:
            return _State(state.first, state.ahead | {place}, state.taken, value)
        first, ahead = place + 1, state.ahead
        while first in ahead:
            ahead -= {first}
            first += 1
        return _State(first, ahead, state.taken, value)


def _apply(call: Call, value: Any, *, unknown: bool = False) -> tuple[bool, Any]:
    """Whether the call can have happened at that value, and the value after it. An unknown one must have done it."""
    if call.kind is Kind.READ:
        return call.result == value, value
    if call.kind is Kind.WRITE:
        return True, call.given[1]
    _, expected, new = call.given
    exchanged = expected == value
    return exchanged if unknown else exchanged == call.result, new if exchanged else value
