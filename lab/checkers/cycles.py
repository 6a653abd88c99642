"""Strongly connected parts of a graph, and one short cycle in each. Pure; linear in the edges."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping

Graph = Mapping[int, Collection[int]]


def components(graph: Graph) -> list[list[int]]:
    """Those of two nodes and more, by Tarjan's algorithm without recursion."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    stacked: set[int] = set()
    found: list[list[int]] = []
    for root in graph:
        if root in index:
            continue
        work: list[tuple[int, Iterator[int]]] = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        stacked.add(root)
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in index:
                    index[successor] = low[successor] = len(index)
                    stack.append(successor)
                    stacked.add(successor)
                    work.append((successor, iter(graph.get(successor, ()))))
                    break
                if successor in stacked:
                    low[node] = min(low[node], index[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    part = _popped(stack, stacked, node)
                    if len(part) > 1:
                        found.append(part)
    return found


def _popped(stack: list[int], stacked: set[int], until: int) -> list[int]:
    part = []
    while True:
        node = stack.pop()
        stacked.discard(node)
        part.append(node)
        if node == until:
            return part


def path(graph: Graph, start: int, goal: int, inside: Collection[int]) -> list[int]:
    """A shortest way within some nodes, both ends included; empty if there is none.

    A way from a node to itself takes one edge at least.
    """
    came: dict[int, int] = {}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        for after in graph.get(node, ()):
            if after in came or after not in inside:
                continue
            came[after] = node
            if after == goal:
                way = [goal]
                while True:
                    way.append(came[way[-1]])
                    if way[-1] == start:
                        return way[::-1]
            waiting.append(after)
    return []
