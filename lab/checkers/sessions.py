"""What one client sees never goes back, and it sees what it was told is written; also over a new connection. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from lab.checkers.calls import FINAL, Call, Kind


def check(calls: Sequence[Call]) -> list[str]:
    """Monotonic reads of lists, and read-your-writes of lists and of single values."""
    clients: dict[int, list[Call]] = defaultdict(list)
    for call in calls:
        if call.ok and call.client != FINAL:
            clients[call.client].append(call)
    return [found for mine in clients.values() for found in _one_client(sorted(mine, key=lambda call: call.began))]


def _one_client(calls: Sequence[Call]) -> Iterator[str]:
    inserted: set[int] = set()
    appended: dict[Any, list[int]] = defaultdict(list)
    seen: dict[Any, list[int]] = defaultdict(list)
    for call in calls:
        if call.kind is Kind.INSERT:
            inserted.add(call.given)
        elif call.kind is Kind.LOOK and call.given in inserted and not call.result:
            yield f"read-your-writes: {call.given} was acknowledged to this client before: {call}"
        elif call.kind is Kind.LISTS:
            yield from _transaction(call, appended, seen)


def _transaction(call: Call, appended: dict[Any, list[int]], seen: dict[Any, list[int]]) -> Iterator[str]:
    for step, result in zip(call.given, call.result, strict=True):
        key = step[1]
        if step[0] == "append":
            appended[key].append(step[2])
            continue
        if result[: len(seen[key])] != seen[key]:
            yield f"monotonic reads: this client saw {seen[key]} in list {key} before: {call}"
        missing = [value for value in appended[key] if value not in result]
        if missing:
            yield f"read-your-writes: {missing} was acknowledged to this client before: {call}"
        seen[key] = result
