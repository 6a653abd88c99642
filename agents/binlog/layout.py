"""Where each value of a row image begins and ends, from the types in TABLE_MAP alone. Pure.

An image is a bitmap of the NULLs among its columns, then the other values with nothing between them. For each bitmap
that occurs the walk is worked out once: how many bytes to pass over, then how long the next length prefix is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agents.binlog.fields import Unreadable
from agents.binlog.table import Column, Type

_FIXED = {
    Type.TINY: 1, Type.SHORT: 2, Type.INT24: 3, Type.LONG: 4, Type.LONGLONG: 8, Type.FLOAT: 4, Type.DOUBLE: 8,
    Type.DATE: 3, Type.YEAR: 1,
}  # fmt: skip
_TIMES = {Type.TIMESTAMP2: 4, Type.DATETIME2: 5, Type.TIME2: 3}
_DIGITS_TO_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
_WALKS_MAX = 4096  # in a table with many columns that may be NULL their combinations must not fill the memory


class Walk(NamedTuple):
    """Through one image: `steps` are bytes to pass over and the size of the length prefix behind them."""

    steps: tuple[tuple[int, int], ...]
    rest: int


class Piece(NamedTuple):
    """Where one value is: `whole` begins before the length prefix, `value` behind it."""

    whole: int
    value: int
    end: int


class Layout:
    """The images that hold `columns`."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._widths = [width(column) for column in columns]
        self._null_bytes = (len(columns) + 7) // 8
        self._walks: dict[bytes, Walk] = {}

    def end(self, data: bytes, at: int) -> int:
        """Where the image ends that begins at `at`. Raises Unreadable if `data` ends before it."""
        nulls = data[at : at + self._null_bytes]
        steps, rest = self._walks.get(nulls) or self._walk(nulls)
        at += self._null_bytes
        for passed, prefix in steps:
            at += passed
            at += prefix + int.from_bytes(data[at : at + prefix], "little")
        if at + rest > len(data):
            raise Unreadable("a row that ends behind its event")
        return at + rest

    def pieces(self, data: bytes, at: int) -> Iterator[Piece | None]:
        """The values of the image at `at`, in the order of its columns; None is NULL."""
        nulls = int.from_bytes(data[at : at + self._null_bytes], "little")
        at += self._null_bytes
        for n, (fixed, prefix) in enumerate(self._widths):
            if nulls >> n & 1:
                yield None
            else:
                size = fixed + int.from_bytes(data[at : at + prefix], "little")
                yield Piece(at, at + prefix, at + prefix + size)
                at += prefix + size

    def _walk(self, nulls: bytes) -> Walk:
        steps, passed, bits = [], 0, int.from_bytes(nulls, "little")
        for n, (fixed, prefix) in enumerate(self._widths):
            if bits >> n & 1:
                continue
            if prefix:
                steps.append((passed, prefix))
                passed = 0
            passed += fixed
        if len(self._walks) >= _WALKS_MAX:
            self._walks.clear()
        walk = self._walks[nulls] = Walk(tuple(steps), passed)
        return walk


def width(column: Column) -> tuple[int, int]:
    """Bytes of a value, and of the length prefix before it; one of the two is 0."""
    kind, size = column.type, column.size
    if kind in _FIXED:
        return _FIXED[kind], 0
    match kind:
        case Type.TIMESTAMP2 | Type.DATETIME2 | Type.TIME2:
            return _TIMES[kind] + (size + 1) // 2, 0
        case Type.NEWDECIMAL:
            return digits_bytes(size - column.scale) + digits_bytes(column.scale), 0
        case Type.BIT:
            return (size + 7) // 8, 0
        case Type.ENUM | Type.SET:
            return size, 0
        case Type.VARCHAR | Type.STRING:
            return 0, 1 if size <= 255 else 2
        case _:
            return 0, size


def digits_bytes(digits: int) -> int:
    """How many bytes a DECIMAL takes for so many digits on one side of its point: nine in four bytes."""
    return digits // 9 * 4 + _DIGITS_TO_BYTES[digits % 9]
