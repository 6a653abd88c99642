"""Chunks of a table: every row is in exactly one, and what comes as a key becomes no other SQL than a value."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.binlog.table import BINARY, Column, Type
from agents.reconcile.chunks import (
    GROWTH_MAX,
    ROWS_LISTED,
    ROWS_MAX,
    TARGET_S,
    Layout,
    Range,
    literal,
    next_rows,
    orderly,
    rows_at,
    within,
)

UTF8 = 255


def column(name: str, kind: Type = Type.LONG, collation: int = BINARY) -> Column:
    return Column(name, kind, 0, 0, nullable=False, collation=collation)


def layout(*key: Column) -> Layout:
    return Layout("shop", "t", key, key, primary=True, shape="s", rows=0)


NUMBERS = st.integers(-3, 3)


@given(
    keys=st.integers(1, 3).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[NUMBERS] * n)))),
    data=st.data(),
)
def test_every_key_is_in_exactly_one_range(keys: tuple[int, set[tuple[int, ...]]], data: st.DataObject) -> None:
    width, there = keys
    names = ["a", "b", "c"][:width]
    bounds = sorted(data.draw(st.sets(st.tuples(*[NUMBERS] * width), max_size=4)))
    texts = [tuple(map(str, bound)) for bound in bounds]
    ranges = [Range(low, high) for low, high in zip([None, *texts], [*texts, None], strict=True)]
    with closing(sqlite3.connect(":memory:")) as table:
        table.execute(f"CREATE TABLE t ({', '.join(names)})")
        table.executemany(f"INSERT INTO t VALUES ({', '.join('?' * width)})", there)
        found = []
        for one in ranges:
            condition = within(layout(*map(column, names)), one)
            found.append(set(table.execute(f"SELECT * FROM t WHERE {condition}").fetchall()))
    assert sum(map(len, found)) == len(there) and set().union(*found) == there
    for one, rows in zip(ranges, found, strict=True):
        low, high = ((None if end is None else tuple(map(int, end))) for end in (one.after, one.to))
        assert rows == {row for row in there if (low is None or row > low) and (high is None or row <= high)}


VALUES = {
    Type.LONGLONG: ("-9223372036854775808", "0"),
    Type.NEWDECIMAL: ("-1.50", "99999999999999999999.123456789"),
    Type.DATETIME2: ("0000-00-00 00:00:00", "2024-02-29 12:00:00.999999"),
    Type.TIME2: ("-838:59:59", "-00:00:00.1"),
    Type.ENUM: ("0", "300"),
    Type.BIT: ("18446744073709551615",),
    Type.VARCHAR: ("", "C3A9"),
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in VALUES.items() for text in texts])
def test_a_value_of_a_key_becomes_a_literal(kind: Type, text: str) -> None:
    assert text in literal(column("k", kind, UTF8), text)


@given(kind=st.sampled_from(sorted(VALUES)), text=st.text() | st.from_regex(r"[-\d:.' ]{1,30}", fullmatch=True))
def test_what_is_no_value_becomes_no_sql(kind: Type, text: str) -> None:
    try:
        sql = literal(column("k", kind, UTF8), text)
    except ValueError as error:
        assert "key column k" in str(error)
    else:
        assert re.fullmatch(r"-?[\d.]+|'[-\d:. ]+'|_utf8mb4 x'[0-9A-F]*'", sql, re.ASCII)


def test_a_key_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a key of 1 columns for shop\.t, whose key has 2"):
        rows_at(layout(column("a"), column("b")), [("1",)])


def test_keys_that_have_no_text_by_which_they_are_found_are_not_used() -> None:
    kinds = [Type.FLOAT, Type.DOUBLE, Type.JSON, Type.GEOMETRY, Type.VECTOR]
    assert not any(orderly(column("k", kind)) for kind in kinds)
    assert not orderly(column("k", Type.VARCHAR, 9999))  # a collation that is not known here
    assert orderly(column("k", Type.VARCHAR, UTF8)) and orderly(column("k", Type.STRING))


@given(rows=st.integers(ROWS_LISTED, ROWS_MAX), took_s=st.floats(0, 1e6), hot=st.booleans())
def test_chunks_grow_and_shrink_within_bounds(rows: int, took_s: float, hot: bool) -> None:
    after = next_rows(rows, took_s, hot=hot)
    assert ROWS_LISTED <= after <= min(GROWTH_MAX * rows, ROWS_MAX)
    assert not hot or after <= max(rows / 2, ROWS_LISTED)
    if not hot and took_s > TARGET_S:
        assert after <= rows
