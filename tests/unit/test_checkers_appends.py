"""Every anomaly of transactions over lists is found and named; serializable histories have none."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lab.checkers.appends import check
from lab.checkers.calls import Call, Kind
from lab.checkers.cycles import components, path
from tests.unit.histories import call, history

X, Y = 0, 1


def transaction(*steps: Any, began: float = 0, ended: float = 100, outcome: str = "ok") -> Call:
    """A number appends, as (key, value); a list was read, as (key, [values]). By default all are concurrent."""
    given = [["r", key] if isinstance(value, list) else ["append", key, value] for key, value in steps]
    results = [value if isinstance(value, list) else None for _, value in steps]
    return call("lists", given, began, ended, results if outcome == "ok" else None, outcome=outcome)


BAD = {
    "G0": [  # x says the first came first, y says the second did
        transaction((X, 1), (X, 11), (Y, 1)),
        transaction((X, 2), (X, 12), (Y, 2)),
        transaction((X, [1, 11, 2, 12]), (Y, [2, 1])),
    ],
    "G0 by two readers": [
        transaction((X, 1), (Y, 1)), transaction((X, 2), (Y, 2)), transaction((X, [1, 2])), transaction((Y, [2, 1])),
    ],
    "G1a": [transaction((X, 1), outcome="fail"), transaction((X, [1]))],
    "G1a of one within a list": [
        transaction((X, 1)), transaction((X, 2), outcome="fail"), transaction((X, 3)), transaction((X, [1, 2, 3])),
    ],
    "G1b": [transaction((X, 1), (X, 2)), transaction((X, [1])), transaction((X, [1, 2]))],
    "G1c": [  # each sees the other's append
        transaction((X, 1), (Y, [1])), transaction((Y, 1), (X, [1])),
    ],
    "G1c over three": [
        transaction((X, 1), (2, [3])), transaction((X, [1]), (Y, 2)), transaction((Y, [2]), (2, 3)),
    ],
    "G-single": [  # a reader sees one half of a transaction
        transaction((X, 1), (Y, 1)), transaction((X, [1]), (Y, [])), transaction((Y, [1])),
    ],
    "G-single as a lost update": [
        transaction((X, 1)),
        transaction((X, [1]), (X, 2)), transaction((X, [1]), (X, 3)), transaction((X, [1, 2, 3])),
    ],
    "G2": [  # write skew: both read the other's list before the other's append
        transaction((X, []), (Y, 1)), transaction((Y, []), (X, 1)), transaction((X, [1]), (Y, [1])),
    ],
    "G2 of a transaction whose outcome is unknown, but seen": [
        transaction((X, [1]), (Y, [])),
        transaction((Y, 1), (X, 2), outcome="unknown"),
        transaction((X, 1), (2, [])), transaction((2, 1), (X, [])),
        transaction((X, [1, 2]), (Y, [1]), (2, [1])),
    ],
    "two orders": [transaction((X, 1)), transaction((X, 2)), transaction((X, [1, 2])), transaction((X, [2]))],
    "duplicate": [transaction((X, 1)), transaction((X, [1, 1]))],
    "invented": [transaction((X, 1)), transaction((X, [1, 9]))],
    "lost": [
        transaction((X, 1), began=0, ended=1), transaction((X, 2), began=2, ended=3), transaction((X, [2]), began=4),
    ],
    "lost for a later reader only": [
        transaction((X, 1), began=0, ended=1), transaction((X, [1]), began=2, ended=3), transaction((X, []), began=4),
    ],
    "internal": [transaction((X, 1), (X, []))],
    "internal, behind a stranger's": [transaction((X, 1)), transaction((X, 2), (X, [2, 1]))],
}  # fmt: skip
GOOD = {
    "nothing": [],
    "reads of what grows": [
        transaction((X, 1)), transaction((X, [1])), transaction((X, 2)), transaction((X, [1, 2])), transaction((X, [])),
    ],
    "own appends are seen by their transaction": [
        transaction((X, 1), (X, [1]), (X, 2), (X, [1, 2])), transaction((X, [1, 2])),
    ],
    "an unknown transaction is seen": [transaction((X, 1), outcome="unknown"), transaction((X, [1]))],
    "an unknown transaction is not seen": [transaction((X, 1), outcome="unknown"), transaction((X, []))],
    "an acknowledged append is missing in a read that began before its answer": [
        transaction((X, 1), began=0, ended=5), transaction((X, []), began=4, ended=6),
    ],
    "a read of its own append after another's": [transaction((X, 1)), transaction((X, 2), (X, [1, 2]))],
}  # fmt: skip


@pytest.mark.parametrize(("name", "calls"), BAD.items(), ids=BAD.keys())
def test_is_found_and_named(name: str, calls: list[Call]) -> None:
    anomaly = " ".join(name.split()[:2]) if name.startswith("two") else name.split()[0].rstrip(",")
    assert [one for one in check(calls) if one.startswith(anomaly)], check(calls)


@pytest.mark.parametrize("calls", GOOD.values(), ids=GOOD.keys())
def test_is_allowed(calls: list[Call]) -> None:
    assert not check(calls)


@pytest.mark.parametrize("name", ["G0", "G1c", "G-single", "G2"])
def test_a_cycle_is_told_once_by_its_gravest_name(name: str) -> None:
    (found,) = check(BAD[name])
    assert found.startswith(f"{name}: ") and found.count(" -> lists") >= 2


def test_parts_and_ways_of_a_graph() -> None:
    graph = {0: [1], 1: [2], 2: [0, 3], 3: [4], 4: [3, 5], 5: [], 6: [6]}
    assert sorted(sorted(part) for part in components(graph)) == [[0, 1, 2], [3, 4]]
    assert components({0: [1], 1: [], 2: [1, 3], 3: [2]}) == [[3, 2]]  # 1 is settled, and no way back to 0
    assert path(graph, 0, 0, range(7)) == [0, 1, 2, 0]
    assert path(graph, 0, 5, range(7)) == [0, 1, 2, 3, 4, 5]
    assert path(graph, 0, 5, [0, 1, 2, 5]) == [] == path(graph, 5, 0, range(7))


def test_a_long_chain_needs_no_recursion() -> None:
    length = 50_000
    assert components({node: [node + 1] for node in range(length)}) == []
    assert len(components({node: [(node + 1) % length] for node in range(length)})[0]) == length


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_a_store_that_does_everything_right_is_never_accused(seed: int) -> None:
    assert not check(history(Random(seed), 150)[0])


def _read_again(calls: list[Call], place: int, step: int, seen: list[int]) -> list[Call]:
    result = list(calls[place].result)
    result[step] = seen
    return [*calls[:place], replace(calls[place], result=result), *calls[place + 1 :]]


def _reads(calls: list[Call], at_least: int) -> list[tuple[int, int, list[int]]]:
    return [
        (place, step, seen)
        for place, one in enumerate(calls)
        if one.ok and one.kind is Kind.LISTS
        for step, seen in enumerate(one.result)
        if seen is not None and len(seen) >= at_least
    ]


def _acknowledged(calls: list[Call]) -> list[tuple[int, int]]:
    transactions = (one for one in calls if one.ok and one.kind is Kind.LISTS)
    return [(step[1], step[2]) for one in transactions for step in one.given if step[0] == "append"]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_two_values_that_changed_places_in_one_read_are_found(seed: int) -> None:
    """In the last read it contradicts an earlier one, in an earlier one the last."""
    random = Random(seed)
    calls = history(random, 150)[0]
    last = calls[-1]
    earlier = [one for one in _reads(calls[:-1], 2) if calls[one[0]].given[one[1]][1] in {s[1] for s in last.given}]
    assume(earlier)
    place, step, seen = random.choice(earlier)
    at = random.randrange(len(seen) - 1)
    swapped = [*seen[:at], seen[at + 1], seen[at], *seen[at + 2 :]]
    assert check(_read_again(calls, place, step, swapped))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_one_acknowledged_append_that_is_dropped_is_found(seed: int) -> None:
    """From every read, as if it had never happened."""
    random = Random(seed)
    calls = history(random, 150)[0]
    acknowledged = [value for _, value in _acknowledged(calls)]
    assume(acknowledged)
    gone = random.choice(acknowledged)
    for place, step, seen in _reads(calls, 1):
        calls = _read_again(calls, place, step, [value for value in seen if value != gone])
    assert [one for one in check(calls) if one.startswith(("lost", "internal"))]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_a_stale_half_of_the_last_read_is_found(seed: int) -> None:
    random = Random(seed)
    calls = history(random, 150)[0]
    stale = [one for one in _reads(calls, 1) if one[0] == len(calls) - 1]
    _, step, seen = random.choice(stale)
    key = calls[-1].given[step][1]
    assume((key, seen[-1]) in _acknowledged(calls))
    assert check(_read_again(calls, len(calls) - 1, step, seen[:-1]))
