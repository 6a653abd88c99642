"""A client that sees time go back, or not what it was told, is believed."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lab.checkers.calls import FINAL, Call, Kind
from lab.checkers.sessions import check
from tests.unit.histories import call, history


def one_client(*calls: Call) -> list[Call]:
    return [replace(one, client=1, began=float(at), ended=at + 0.5) for at, one in enumerate(calls)]


def insert(value: int, outcome: str = "ok") -> Call:
    return call("insert", value, 0, 1, outcome=outcome)


def look(value: int, found: bool) -> Call:
    return call("look", value, 0, 1, found)


def append(value: int, outcome: str = "ok") -> Call:
    return call("lists", [["append", 0, value]], 0, 1, [None] if outcome == "ok" else None, outcome=outcome)


def read(*seen: int) -> Call:
    return call("lists", [["r", 0]], 0, 1, [list(seen)])


BAD = {
    "its own value is not found": one_client(insert(1), look(1, False)),
    "its own value is found, and then no more": one_client(insert(1), look(1, True), insert(2), look(1, False)),
    "its own append is missing": one_client(append(1), read()),
    "its own append is missing after another's": one_client(append(1), read(2)),
    "a list shrinks": one_client(read(1, 2), read(1)),
    "a list is another one": one_client(read(1, 2), read(2, 1, 3)),
    "a list shrinks within one transaction": [call("lists", [["r", 0], ["r", 0]], 0, 1, [[1], []], client=1)],
}
GOOD = {
    "what was written is seen": one_client(insert(1), look(1, True), append(1), read(1), read(1, 2)),
    "what was unknown need not be": one_client(insert(1, "unknown"), look(1, False)),
    "what was refused is not": one_client(append(2, "fail"), read()),
    "another client may be behind": [*one_client(read(1)), *(replace(one, client=2) for one in one_client(read()))],
    "another key": one_client(append(1), call("lists", [["r", 5]], 0, 1, [[]])),
}


@pytest.mark.parametrize("calls", BAD.values(), ids=BAD.keys())
def test_is_found(calls: list[Call]) -> None:
    assert len(check(calls)) == 1


@pytest.mark.parametrize("calls", GOOD.values(), ids=GOOD.keys())
def test_is_allowed(calls: list[Call]) -> None:
    assert not check(calls)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_a_store_that_does_everything_right_is_never_accused(seed: int) -> None:
    assert not check(history(Random(seed), 150)[0])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_a_client_that_is_shown_an_older_list_is_believed(seed: int) -> None:
    random = Random(seed)
    calls = history(random, 150)[0]
    seen: dict[tuple[int, int], int] = {}
    older = []
    for place, one in sorted(enumerate(calls), key=lambda numbered: numbered[1].began):
        if one.ok and one.kind is Kind.LISTS and one.client != FINAL:
            for step, found in enumerate(one.result):
                if found is not None:
                    key = one.client, one.given[step][1]
                    if seen.get(key):
                        older.append((place, step, seen[key] - 1))
                    seen[key] = len(found)
    assume(older)
    place, step, length = random.choice(older)
    result = list(calls[place].result)
    result[step] = result[step][:length]
    calls[place] = replace(calls[place], result=result)
    assert check(calls)
