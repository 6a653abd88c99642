"""GTID sets behave like sets of numbers: checked against plain Python sets, and spelled as MySQL spells them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.gtid import GtidSet, errant

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "4f22fa47-71ca-11e1-9e33-c80aa9429562"
SOURCES = [A, B, f"{A}:backup", f"{B}:tag_1"]
members = st.frozensets(st.tuples(st.sampled_from(SOURCES), st.integers(1, 12)), max_size=20)


def from_members(pairs: frozenset[tuple[str, int]]) -> GtidSet:
    return GtidSet.parse(",".join(f"{source}:{number}" for source, number in pairs))


def to_members(gtids: GtidSet) -> frozenset[tuple[str, int]]:
    return frozenset(
        (source, number)
        for source, intervals in gtids.intervals.items()
        for first, last in intervals
        for number in range(first, last + 1)
    )


@given(members, members)
def test_union_difference_and_order_are_those_of_sets(one, two):
    a, b = from_members(one), from_members(two)
    assert to_members(a | b) == one | two
    assert to_members(a - b) == one - two
    assert (a <= b) == (one <= two)
    assert len(a) == len(one)
    assert errant(a, b) == a - b


@given(members)
def test_text_survives_the_round_trip(one):
    gtids = from_members(one)
    assert GtidSet.parse(str(gtids)) == gtids


def test_intervals_that_touch_are_one():
    assert str(GtidSet.parse(f"{A}:1-3:4:9-9")) == f"{A}:1-4:9"


def test_mysql_spelling_with_line_breaks_and_tags():
    text = f"{A}:1-5:7:backup:1-3,\n{B}:2"
    assert str(GtidSet.parse(text)) == f"{A}:1-5:7:backup:1-3,{B}:2"


@pytest.mark.parametrize("text", ["x", A, f"{A}:0", f"{A}:5-3", f"{A}:1-2-3", f"{A}:1,junk:1"])
def test_what_is_no_set_is_refused(text):
    with pytest.raises(ValueError, match="GTID set"):
        GtidSet.parse(text)


def test_the_empty_set_is_false_and_inside_everything():
    assert not GtidSet.parse("")
    assert GtidSet.parse("") <= GtidSet.parse(f"{A}:1")
