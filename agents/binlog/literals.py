"""Values of a row image as SQL in which the server itself compares, adds and assigns them. Pure.

For a session with time_zone='+00:00'. Held against a server by tests/contract/test_policies.py.
"""

from __future__ import annotations

from agents.binlog.charsets import charset
from agents.binlog.table import BINARY, Column, Type
from agents.binlog.values import quoted, shown

_INTEGERS = frozenset({Type.TINY, Type.SHORT, Type.INT24, Type.LONG, Type.LONGLONG})
_REALS = frozenset({Type.FLOAT, Type.DOUBLE})
_STRINGS = frozenset({Type.VARCHAR, Type.STRING, Type.BLOB})
_LABELLED = frozenset({Type.ENUM, Type.SET})
_TIMES = {Type.DATE: "DATE", Type.DATETIME2: "DATETIME(6)", Type.TIMESTAMP2: "DATETIME(6)", Type.TIME2: "TIME(6)"}
_WHOLE = "CAST({} AS DECIMAL(65, 0))"  # integers of both signs and 64 bits, whose differences no integer type holds


def literal(column: Column, raw: bytes | None) -> str | None:
    """SQL of the value; None for a type whose values have no such form. Raises Unreadable."""
    if raw is None:
        return "NULL"
    match column.type:
        case kind if kind in _REALS:
            text = str(shown(column, raw))
            return text if "e" in text else f"{text}E0"  # else it would be a DECIMAL
        case kind if kind in _INTEGERS or kind in (Type.NEWDECIMAL, Type.YEAR):
            return str(shown(column, raw))
        case kind if kind in _TIMES:
            return f"CAST('{shown(column, raw)!s}' AS {_TIMES[kind]})"
        case kind if kind in _LABELLED:
            return str(int.from_bytes(raw, "little"))
        case Type.BIT:
            return str(int.from_bytes(raw, "big"))
        case kind if kind in _STRINGS:
            return _string(column, raw)
        case _:
            return None


def ordered(column: Column) -> str | None:
    """SQL of a column in a comparison with `literal`; ENUM and SET by the order of their labels. None: no order."""
    name = quoted(column.name)
    if column.type in _LABELLED:
        return f"CAST({name} AS UNSIGNED)"
    if column.type is Type.BIT:
        return f"{name} + 0"
    return None if column.type in (Type.JSON, Type.GEOMETRY, Type.VECTOR) else name


def added(column: Column, before: bytes | None, after: bytes | None) -> str | None:
    """SQL of the column with what came to it from `before` to `after`; None if nothing can be added. Raises Unreadable.

    NULL stays NULL. It may be more than the column holds: to be assigned in strict mode alone.
    """
    if column.type not in (_INTEGERS | _REALS | {Type.NEWDECIMAL}):
        return None
    name, old, new = quoted(column.name), literal(column, before), literal(column, after)
    if column.type in _INTEGERS:
        name, old, new = (_WHOLE.format(one) for one in (name, old, new))
    return f"{name} + ({new} - {old})"


def _string(column: Column, raw: bytes) -> str | None:
    if column.collation == BINARY:
        whole = raw.ljust(column.size, b"\0") if column.type is Type.STRING else raw
        return f"x'{whole.hex()}'"
    name = charset(column.collation)
    return f"_{name} x'{raw.hex()}'" if name else None
