"""Values written once, and money that is only moved."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lab.checkers import bank, unique
from lab.checkers.calls import Call, CallReader, Kind, Outcome
from tests.unit.histories import ACCOUNTS, BALANCE, call, history

TOTAL = ACCOUNTS * BALANCE


def insert(value: int, outcome: str = "ok") -> Call:
    return call("insert", value, value, value + 0.5, outcome=outcome)


def balances(*found: int) -> Call:
    return call("balances", None, 0, 1, list(found))


WRONG = {
    "an acknowledged value is gone": ([insert(1), insert(2)], [2], "lost"),
    "everything is gone": ([insert(1), insert(2)], [], "lost"),
    "a value is there twice": ([insert(1), insert(2)], [1, 2, 2], "duplicate"),
    "an unknown value is there twice": ([insert(1, "unknown")], [1, 1], "duplicate"),
    "a value that nobody sent": ([insert(1)], [1, 9], "invented"),
    "a refused value is there": ([insert(1), insert(2, "fail")], [1, 2], "refused"),
}


@pytest.mark.parametrize(("calls", "stored", "name"), WRONG.values(), ids=WRONG.keys())
def test_is_found(calls: list[Call], stored: list[int], name: str) -> None:
    found = unique.check(calls, stored)
    assert len(found) == len(calls) if not stored else len(found) == 1
    assert all(one.startswith(name) for one in found)


@pytest.mark.parametrize("stored", [[1], [1, 2]], ids=["absent", "present"])
def test_an_unknown_value_may_be_there_or_not(stored: list[int]) -> None:
    assert not unique.check([insert(1), insert(2, "unknown"), insert(3, "fail")], stored)


@pytest.mark.parametrize(
    "found",
    [(10, 10, 9), (10, 10, 11), (10, 20), (30,), (), (10, 10, 5, 5)],
    ids=["less", "more", "an account is missing", "two are missing", "no account", "an account too many"],
)
def test_a_bank_that_does_not_add_up_is_found(found: tuple[int, ...]) -> None:
    assert bank.check([balances(10, 10, 10), balances(*found)], ACCOUNTS, TOTAL)


def test_money_may_move_and_be_owed() -> None:
    unanswered = replace(balances(), result=None, outcome=insert(1, "unknown").outcome)
    assert not bank.check([balances(10, 10, 10), balances(-5, 35, 0), unanswered], ACCOUNTS, TOTAL)


def test_a_call_is_read_from_its_two_lines_and_is_unknown_without_the_second() -> None:
    sent = '{"n": 4, "client": 1, "kind": "read", "given": 7, "server": "a", "connection": 2, "at": 1.5}'
    reader = CallReader()
    reader.feed([sent])
    assert reader.done == []
    (open_,) = reader.everything()
    assert open_.unknown and open_.ended == float("inf")
    reader.feed(['{"n": 4, "outcome": "ok", "at": 2.5, "result": 9}'])
    assert reader.everything() == reader.done == [Call(4, 1, Kind.READ, 7, 1.5, 2.5, Outcome.OK, 9, "a", 2)]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_a_store_that_does_everything_right_is_never_accused(seed: int) -> None:
    calls, store = history(Random(seed), 150)
    assert not unique.check(calls, store.values)
    assert not bank.check(calls, ACCOUNTS, TOTAL)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_one_acknowledged_value_that_is_dropped_is_found(seed: int) -> None:
    random = Random(seed)
    calls, store = history(random, 150)
    acknowledged = [one.given for one in calls if one.ok and one.kind is Kind.INSERT]
    assume(acknowledged)
    gone = random.choice(acknowledged)
    (found,) = unique.check(calls, [value for value in store.values if value != gone])
    assert found.startswith(f"lost: insert {gone} ")


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_half_a_transfer_is_found(seed: int) -> None:
    random = Random(seed)
    calls, _ = history(random, 150)
    reads = [place for place, one in enumerate(calls) if one.ok and one.kind is Kind.BALANCES]
    place, account = random.choice(reads), random.randrange(ACCOUNTS)
    seen = list(calls[place].result)
    seen[account] += random.choice((-3, 4))
    calls[place] = replace(calls[place], result=seen)
    assert len(bank.check(calls, ACCOUNTS, TOTAL)) == 1
