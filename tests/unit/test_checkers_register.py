"""Registers that have no order in real time are found, and no others."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lab.checkers.calls import Call, Kind
from lab.checkers.register import check
from tests.unit.histories import call, history


def write(value: int, began: float, ended: float, outcome: str = "ok") -> Call:
    return call("write", [0, value], began, ended, outcome=outcome)


def read(value: int | None, began: float, ended: float) -> Call:
    return call("read", 0, began, ended, value)


def cas(expected: int | None, value: int, began: float, ended: float, done: bool | None, outcome: str = "ok") -> Call:
    return call("cas", [0, expected, value], began, ended, done, outcome=outcome)


BAD = {
    "a read after an acknowledged write does not see it": [write(1, 0, 1), read(None, 2, 3)],
    "a read sees what was overwritten before it began": [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)],
    "a value that nobody wrote": [write(1, 0, 1), read(7, 2, 3)],
    "a read before the write was sent": [read(1, 0, 1), write(1, 2, 3)],
    "two reads in a row see two concurrent writes, a third goes back": [
        write(1, 0, 9), write(2, 0, 9), read(1, 1, 2), read(2, 3, 4), read(1, 5, 6),
    ],
    "two readers agree on no order of two writes": [
        write(1, 0, 1), write(2, 0, 1), read(1, 2, 3), read(2, 4, 5), read(1, 6, 7),
    ],
    "two exchanges of the same value both succeed": [
        write(1, 0, 1), cas(1, 2, 2, 5, True), cas(1, 3, 2, 5, True),
    ],
    "an exchange fails though its value was there all the time": [write(1, 0, 1), cas(1, 2, 2, 3, False)],
    "an exchange succeeds on a value that was gone": [write(1, 0, 1), write(2, 2, 3), cas(1, 3, 4, 5, True)],
    "a refused write is seen": [write(1, 0, 1), write(2, 2, 3, "fail"), read(2, 4, 5)],
    "an unknown write is seen, and then no more": [
        write(1, 0, 1), write(2, 2, 3, "unknown"), read(2, 4, 5), read(1, 6, 7),
    ],
    "an unknown write is seen before it was sent": [read(2, 0, 1), write(2, 2, 3, "unknown")],
    "an unknown write takes effect twice": [
        write(2, 0, 1, "unknown"), read(2, 2, 3), write(3, 4, 5), read(3, 6, 7), read(2, 8, 9),
    ],
    "an unknown exchange worked on a value that was never there": [
        write(1, 0, 1), cas(7, 2, 2, 3, None, "unknown"), read(2, 4, 5),
    ],
    "the last read is of another server's time": [
        *(write(number, number, number + 0.5) for number in range(30)), read(28, 31, 32),
    ],
}  # fmt: skip
GOOD = {
    "nothing": [],
    "a write, then its read": [write(1, 0, 1), read(1, 2, 3)],
    "concurrent writes in either order": [write(1, 0, 9), write(2, 0, 9), read(2, 1, 2), read(1, 3, 4)],
    "a read beside a write sees the old value or the new one": [
        write(1, 0, 1), write(2, 2, 9), read(1, 3, 4), read(2, 5, 6),
    ],
    "an unknown write never happened": [write(1, 0, 1), write(2, 2, 3, "unknown"), read(1, 4, 5)],
    "an unknown write happened long after its client gave up": [
        write(1, 0, 1), write(2, 2, 3, "unknown"), read(1, 4, 5), read(1, 6, 7), read(2, 8, 9),
    ],
    "an unknown exchange explains a failed one": [
        write(1, 0, 1), cas(1, 2, 2, 3, None, "unknown"), cas(1, 3, 4, 5, False), read(2, 6, 7),
    ],
    "an unknown write explains a failed exchange, though nobody read it": [
        write(1, 0, 1), write(2, 1, 2, "unknown"), cas(1, 3, 4, 5, False), write(4, 6, 7), read(4, 8, 9),
    ],
    "the server was asked and answered within the same moment": [write(1, 0, 1), read(None, 1, 2)],
    "a refused write is not seen": [write(1, 0, 1), write(2, 2, 3, "fail"), read(1, 4, 5)],
    "an unknown read says nothing": [write(1, 0, 1), call("read", 0, 2, 3, None, outcome="unknown")],
}  # fmt: skip


@pytest.mark.parametrize("calls", BAD.values(), ids=BAD.keys())
def test_is_found(calls: list[Call]) -> None:
    assert check(calls)


@pytest.mark.parametrize("calls", GOOD.values(), ids=GOOD.keys())
def test_is_allowed(calls: list[Call]) -> None:
    assert not check(calls)


def test_keys_are_judged_apart_and_named() -> None:
    calls = [call("write", [7, 1], 0, 1), call("read", 7, 2, 3, None), call("write", [8, 1], 0, 1)]
    (found,) = check(calls)
    assert found.startswith("key 7: ") and str(calls[1]) in found


def test_a_key_with_thousands_of_calls_is_judged() -> None:
    calls = [write(number, number, number + 1.5) for number in range(5000)]
    assert not check([*calls, read(4999, 6000, 6001)])
    assert check([*calls, read(4000, 6000, 6001)])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_a_store_that_does_everything_right_is_never_accused(seed: int) -> None:
    assert not check(history(Random(seed), 120)[0])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_one_stale_read_is_found(seed: int) -> None:
    """A value that was overwritten for certain: its write had ended before another began, and that one before the read.

    The last reads are among those that may be stale: then an acknowledged write is lost.
    """
    random = Random(seed)
    calls = history(random, 120)[0]
    writes = [one for one in calls if one.ok and one.kind is Kind.WRITE]
    stale = [
        (place, old.given[1])
        for place, late in enumerate(calls)
        if late.ok and late.kind is Kind.READ
        for old in writes
        for new in writes
        if old.given[0] == new.given[0] == late.given and old.ended < new.began and new.ended < late.began
    ]
    assume(stale)
    place, value = random.choice(stale)
    calls[place] = replace(calls[place], result=value)
    assert check(calls)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_two_reads_that_changed_places_are_found(seed: int) -> None:
    """The earlier one then sees a value that nobody had sent yet."""
    random = Random(seed)
    calls = history(random, 120)[0]
    sent = {one.given[-1]: one.began for one in calls if one.kind in (Kind.WRITE, Kind.CAS)}
    reads = [(place, one) for place, one in enumerate(calls) if one.ok and one.kind is Kind.READ]
    pairs = [
        (early, late)
        for early, before in reads
        for late, after in reads
        if before.given == after.given and after.result is not None and before.ended < sent[after.result]
    ]
    assume(pairs)
    early, late = random.choice(pairs)
    calls[early], calls[late] = (
        replace(calls[early], result=calls[late].result),
        replace(calls[late], result=calls[early].result),
    )
    assert check(calls)
