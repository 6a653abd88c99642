"""Chunks of a table as SQL: where one begins and ends, the sums by which two servers compare it, its rows. Pure.

A key goes between two agents as texts, one a column, and becomes SQL only here, on the side that asks its own server:
each text must be what its column's type allows, so that whoever sends one sends no SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agents.binlog.charsets import charset
from agents.binlog.table import Column, Type
from agents.binlog.values import comparison, qualified, quoted, reading

ROWS_FIRST, ROWS_MAX = 2_000, 1_000_000
ROWS_LISTED = 500  # a chunk of no more is compared row by row once its sums differ
TARGET_S = 0.3
GROWTH_MAX = 2.0  # from one chunk to the next

Key = tuple[str, ...]

_NUMBERS = frozenset({Type.TINY, Type.SHORT, Type.INT24, Type.LONG, Type.LONGLONG, Type.NEWDECIMAL, Type.YEAR})
_TIMES = frozenset({Type.DATE, Type.TIME2, Type.DATETIME2, Type.TIMESTAMP2})
_NUMBERED = frozenset({Type.ENUM, Type.SET, Type.BIT})
_STRINGS = frozenset({Type.VARCHAR, Type.STRING, Type.BLOB})
_NUMBER = re.compile(r"-?\d{1,65}(\.\d{1,30})?", re.ASCII)
_TIME = re.compile(r"-?[\d:. -]{1,26}", re.ASCII)
_HEX = re.compile(r"([0-9A-F]{2}){0,3072}")


@dataclass(frozen=True, slots=True)
class Layout:
    """A table as this server has it now."""

    schema: str
    name: str
    columns: tuple[Column, ...]  # that are compared: not those that follow from others
    key: tuple[Column, ...]  # by which it is cut into chunks; empty: it is one chunk
    primary: bool  # it has a primary key
    shape: str  # the same for the same definition
    rows: int  # about
    unfit: str = ""  # why it cannot be compared

    @property
    def table(self) -> str:
        return qualified(self)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Range:
    """The keys above `after`, up to `to` with it; None is without an end."""

    after: Key | None = None
    to: Key | None = None


def orderly(column: Column) -> bool:
    """Whether keys of this column can be told as a text, and compared with it without losing any."""
    if column.type in _STRINGS:
        return bool(charset(column.collation))
    return column.type in _NUMBERS | _TIMES | _NUMBERED


def row_text(layout: Layout) -> str:
    """SQL of the text K by which a row is compared: that of the row images too."""
    return f"CONCAT_WS(',', {', '.join(map(comparison, layout.columns))})"


def literal(column: Column, text: str) -> str:
    """SQL of one value of a key. Raises ValueError for what is none."""
    if column.type in _TIMES:
        pattern, sql = _TIME, f"'{text}'"
    elif column.type in _STRINGS:
        pattern, sql = _HEX, f"_{charset(column.collation)} x'{text}'"
    else:
        pattern, sql = _NUMBER, text
    if not pattern.fullmatch(text):
        raise ValueError(f"key column {column.name} of type {column.type.name}: {text[:60]!r} is no value of it")
    return sql


def keys_read(layout: Layout) -> str:
    """Select list of a key, as k0, k1 and so on."""
    return ", ".join(f"{_key_read(column)} AS k{n}" for n, column in enumerate(layout.key))


def within(layout: Layout, where: Range) -> str:
    """SQL condition of a range: spelled out, as MySQL uses no index for a comparison of rows. Raises ValueError."""
    parts = []
    if where.after is not None:
        parts.append(_beside(layout, where.after, ">", ">"))
    if where.to is not None:
        parts.append(_beside(layout, where.to, "<", "<="))
    return " AND ".join(parts) or "TRUE"


def sums(layout: Layout, where: Range) -> str:
    """What is the same on two servers for the same rows, in any order: n, x, s. Two equal rows hide in x, not in s."""
    text = row_text(layout)
    return (
        f"SELECT COUNT(*) AS n, HEX(BIT_XOR(UNHEX(SHA2({text}, 256)))) AS x, SUM(CRC32({text})) AS s"  # noqa: S608
        f" FROM {_indexed(layout)} WHERE {within(layout, where)}"
    )


def bound(layout: Layout, where: Range, rows: int) -> str:
    """The key of the last of so many rows; no row if there are fewer."""
    return (
        f"SELECT {keys_read(layout)} FROM {_indexed(layout)} WHERE {within(layout, where)}"  # noqa: S608
        f" ORDER BY {_order(layout)} LIMIT 1 OFFSET {rows - 1:d}"
    )


def rows(layout: Layout, where: Range, limit: int) -> str:
    """Key and digest (h) of each row of a range."""
    return f"{_digests(layout)} WHERE {within(layout, where)} ORDER BY {_order(layout)} LIMIT {limit:d}"


def rows_at(layout: Layout, keys: Sequence[Key]) -> str:
    """The same of the rows with these keys. Raises ValueError."""
    return f"{_digests(layout)} WHERE {' OR '.join(_at(layout, key) for key in keys)}"


def version(layout: Layout, key: Key) -> str:
    """One row as people read it: c0, c1 and so on, in the form of `told`. Raises ValueError."""
    read = ", ".join(f"{reading(column)} AS c{n}" for n, column in enumerate(layout.columns))
    return f"SELECT {read} FROM {_indexed(layout)} WHERE {_at(layout, key)}"  # noqa: S608


def key_of(layout: Layout, row: Callable[[str], str]) -> Key:
    """The key in a row of one of these statements."""
    return tuple(row(f"k{n}") for n in range(len(layout.key)))


def next_rows(rows: int, took_s: float, *, hot: bool, least: int = ROWS_LISTED) -> int:
    """Rows of the next chunk: one that takes `TARGET_S`, or half of one that changed while it was compared."""
    factor = 0.5 if hot else min(max(TARGET_S / max(took_s, 1e-6), 0.25), GROWTH_MAX)
    return min(max(int(rows * factor), least), ROWS_MAX)


def _key_read(column: Column) -> str:
    return f"HEX({quoted(column.name)})" if column.type in _STRINGS else _operand(column)


def _operand(column: Column) -> str:
    """What is compared: a label's number has the order of the index, its text has not."""
    return f"CAST({quoted(column.name)} AS UNSIGNED)" if column.type in _NUMBERED else quoted(column.name)


def _beside(layout: Layout, key: Key, strictly: str, at_last: str) -> str:
    pairs = _pairs(layout, key)
    cases = []
    for n, (operand, value) in enumerate(pairs):
        same = [f"{one} = {other}" for one, other in pairs[:n]]
        sign = at_last if n == len(pairs) - 1 else strictly
        cases.append("(" + " AND ".join([*same, f"{operand} {sign} {value}"]) + ")")
    return f"({' OR '.join(cases)})"


def _at(layout: Layout, key: Key) -> str:
    return "(" + " AND ".join(f"{operand} = {value}" for operand, value in _pairs(layout, key)) + ")"


def _pairs(layout: Layout, key: Key) -> list[tuple[str, str]]:
    if len(key) != len(layout.key):
        raise ValueError(f"a key of {len(key)} columns for {layout}, whose key has {len(layout.key)}")
    return [(_operand(column), literal(column, text)) for column, text in zip(layout.key, key, strict=True)]


def _order(layout: Layout) -> str:
    return ", ".join(quoted(column.name) for column in layout.key)


def _digests(layout: Layout) -> str:
    return f"SELECT {keys_read(layout)}, SHA2({row_text(layout)}, 256) AS h FROM {_indexed(layout)}"  # noqa: S608


def _indexed(layout: Layout) -> str:
    return f"{layout.table} FORCE INDEX (PRIMARY)" if layout.primary else layout.table
