"""Transactions that read lists and append to them: the dependencies between them form no cycle. Pure.

Every appended value is unique, so a list that was read tells in which order its transactions came (as Elle does it):
ww from one append to the next, wr from an append to whoever read it last in the list, rw from a reader to the append
that it did not see. Named after Adya: G0, G1a, G1b, G1c, G-single, G2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lab.checkers.calls import Call, Kind, Outcome
from lab.checkers.cycles import Graph, components, path

Edges = dict[int, set[int]]


def check(calls: Sequence[Call]) -> list[str]:
    """Every anomaly, each with the transactions that show it; of cycles one for each connected part."""
    history = _History([call for call in calls if call.kind is Kind.LISTS])
    return [*history.wrong_lists(), *history.wrong_reads(), *_cycles(history)]


@dataclass(slots=True)
class _History:
    calls: Sequence[Call]
    by_value: dict[tuple[Any, int], int] = field(init=False)  # (key, value) -> the transaction that appended it
    last: set[tuple[Any, int]] = field(init=False)  # (key, value) that is its transaction's last one for that key
    order: dict[Any, list[int]] = field(init=False)  # key -> the longest list that was read

    def __post_init__(self) -> None:
        self.by_value, self.last, self.order = {}, set(), {}
        for place, call in enumerate(self.calls):
            newest: dict[Any, int] = {}
            for key, value in _appends(call):
                self.by_value[key, value] = place
                newest[key] = value
            self.last.update(newest.items())
        for _, key, seen in self.reads():
            self.order[key] = max(self.order.get(key, []), seen, key=len)

    def reads(self) -> Iterator[tuple[int, Any, list[int]]]:
        """Transaction, key, list."""
        for place, call in enumerate(self.calls):
            if call.ok:
                yield from ((place, key, seen) for key, seen, _ in _seen(call))

    def wrong_lists(self) -> Iterator[str]:
        """Lists that cannot be states of one list: values twice, never sent, in two orders, or missing."""
        for key, longest in self.order.items():
            twice = sorted({value for value in longest if longest.count(value) > 1})
            if twice:
                yield f"duplicate: {twice} more than once in list {key}: {longest}"
        for place, key, seen in self.reads():
            if seen != self.order[key][: len(seen)]:
                yield f"two orders of list {key}: {self.order[key]} and {self.calls[place]}"
            unsent = [value for value in seen if (key, value) not in self.by_value]
            if unsent:
                yield f"invented: {unsent} was never sent: {self.calls[place]}"
        yield from self._lost()

    def _lost(self) -> Iterator[str]:
        """Acknowledged appends that a later read, begun after their answer, does not show."""
        newest: dict[Any, tuple[float, set[int]]] = {}
        for place, key, seen in self.reads():
            began = self.calls[place].began
            if began > newest.get(key, (float("-inf"),))[0]:
                newest[key] = began, set(seen)
        for (key, value), place in self.by_value.items():
            call = self.calls[place]
            if call.ok and key in newest and call.ended < newest[key][0] and value not in newest[key][1]:
                yield f"lost: {value} is missing in list {key}: {call}"

    def wrong_reads(self) -> Iterator[str]:
        """G1a, G1b, and reads that contradict the transaction's own appends."""
        for call in self.calls:
            if call.ok:
                yield from (
                    f"internal: list {key} without its own {own} at the end: {call}"
                    for key, seen, own in _seen(call)
                    if own and seen[-len(own) :] != own
                )
        for place, key, seen in self.reads():
            for value in seen:
                writer = self.calls[self.by_value.get((key, value), place)]
                if writer.outcome is Outcome.FAIL:
                    yield f"G1a: read of {value} from {writer}: {self.calls[place]}"
            if seen and self.by_value.get((key, seen[-1]), place) != place and (key, seen[-1]) not in self.last:
                writer = self.calls[self.by_value[key, seen[-1]]]
                yield f"G1b: read of {seen[-1]}, which is not the last of {writer}: {self.calls[place]}"

    def edges(self) -> tuple[Edges, Edges, Edges]:
        """ww, wr, rw; each from transaction to transaction, none to itself."""
        ww: Edges = defaultdict(set)
        wr: Edges = defaultdict(set)
        rw: Edges = defaultdict(set)
        for key, values in self.order.items():
            for before, after in pairwise(values):
                self._add(ww, self.by_value.get((key, before)), self.by_value.get((key, after)))
        for place, key, seen in self.reads():
            order = self.order.get(key, [])
            if seen != order[: len(seen)]:
                continue
            if seen:
                self._add(wr, self.by_value.get((key, seen[-1])), place)
            if len(order) > len(seen):
                self._add(rw, place, self.by_value.get((key, order[len(seen)])))
        return ww, wr, rw

    def _add(self, edges: Edges, start: int | None, goal: int | None) -> None:
        if start is not None and goal is not None and start != goal:
            edges[start].add(goal)


def _appends(call: Call) -> Iterator[tuple[Any, int]]:
    return ((step[1], step[2]) for step in call.given if step[0] == "append")


def _seen(call: Call) -> Iterator[tuple[Any, list[int], list[int]]]:
    """Of each read: key, list, and what the transaction itself had appended to that key before."""
    own: dict[Any, list[int]] = defaultdict(list)
    for step, result in zip(call.given, call.result, strict=True):
        if step[0] == "append":
            own[step[1]].append(step[2])
        else:
            yield step[1], result, list(own[step[1]])


def _cycles(history: _History) -> Iterator[str]:
    ww, wr, rw = history.edges()
    depends = _union(ww, wr)
    everything = _union(depends, rw)
    known: set[int] = set()
    for name, graph in (("G0", ww), ("G1c", depends)):
        for part in components(graph):
            if known.isdisjoint(part):
                yield _told(name, history, path(graph, part[0], part[0], set(part)))
            known.update(part)
    for part in components(everything):
        if known.isdisjoint(part):
            yield _with_rw(history, part, depends, rw, everything)


def _with_rw(history: _History, part: list[int], depends: Graph, rw: Graph, everything: Graph) -> str:
    """G-single if one rw edge closes a cycle of ww and wr edges, else G2."""
    inside = set(part)
    for reader in part:
        for writer in inside.intersection(rw.get(reader, ())):
            back = path(depends, writer, reader, inside)
            if back:
                return _told("G-single", history, [reader, *back])
    return _told("G2", history, path(everything, part[0], part[0], inside))


def _union(one: Graph, other: Graph) -> Mapping[int, set[int]]:
    return {node: {*one.get(node, ()), *other.get(node, ())} for node in {**one, **other}}


def _told(name: str, history: _History, way: list[int]) -> str:
    return f"{name}: " + " -> ".join(str(history.calls[place]) for place in way)
