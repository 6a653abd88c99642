"""Whether a table is today as a TABLE_MAP describes it: names, types, NULLs, character sets, primary key. Pure.

Both sides are spelled as a `shape` per column and compared as text. What a row image does not depend on (defaults,
display widths, invisibility, indexes) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agents.binlog.charsets import nearly
from agents.binlog.table import BINARY, Column, Table, Type

_INTEGERS = {
    Type.TINY: "tinyint", Type.SHORT: "smallint", Type.INT24: "mediumint", Type.LONG: "int", Type.LONGLONG: "bigint",
}  # fmt: skip
_REALS = {Type.FLOAT: "float", Type.DOUBLE: "double"}
_TIMES = {Type.TIMESTAMP2: "timestamp", Type.DATETIME2: "datetime", Type.TIME2: "time"}
_GEOMETRIES = (
    "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection",
)  # fmt: skip
_BLOBS = {"tiny": 1, "": 2, "medium": 3, "long": 4}
_BLOB = re.compile(r"(tiny|medium|long|)(blob|text)")
_UNWIDE = re.compile(r"^((?:tiny|small|medium|big)?int|float|double|year)\([\d,]+\)")
_ESCAPED = str.maketrans({"\\": "\\\\", "\0": "\\0", "'": "''", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Definition:
    """A table of today. `cascades` are the referential actions that changes of its rows have on children."""

    engine: str
    columns: tuple[tuple[str, str], ...]  # name, shape
    key: tuple[str, ...]
    generated: frozenset[str] = frozenset()  # names of columns that follow from others
    on_delete: bool = False
    on_update: bool = False


def difference(then: Table, now: Definition) -> str:
    """The first thing in which they differ, in words; empty if they agree."""
    described = tuple((column.name, shape(column)) for column in then.columns)
    if len(described) != len(now.columns):
        return f"it had {len(described)} columns and has {len(now.columns)}"
    for (name, was), (name_now, is_now) in zip(described, now.columns, strict=True):
        if (name, was) != (name_now, is_now):
            return f"column {name} {was} is {name_now} {is_now} now"
    key = tuple(then.columns[n].name for n in then.key)
    return "" if key == now.key else f"its primary key was ({', '.join(key)}) and is ({', '.join(now.key)})"


def shape(column: Column) -> str:
    """A column of a map, spelled as `shape_now` does."""
    return _type(column) + (" null" if column.nullable else "")


def shape_now(row: Mapping[str, str], collations: Mapping[str, int]) -> str:
    """The same of a row of information_schema.columns with its columns in lower case; `collations` by name."""
    text, collation = row["column_type"], collations.get(row["collation_name"], BINARY)
    kind = row["data_type"]
    if kind in ("char", "binary", "varchar", "varbinary"):
        text = f"{'var' if kind.startswith('var') else ''}string({row['character_octet_length']}) {collation}"
    elif blob := _BLOB.fullmatch(kind):
        text = f"blob({_BLOBS[blob[1]]}) {collation}"
    elif kind in ("enum", "set"):
        text = f"{text} {collation}"
    else:
        text = _UNWIDE.sub(r"\1", text).replace(" zerofill", "")
    return text + (" null" if row["is_nullable"] == "YES" else "")


def _type(column: Column) -> str:
    kind, size = column.type, column.size
    if kind in _INTEGERS or kind in _REALS:
        return _INTEGERS.get(kind, _REALS.get(kind, "")) + (" unsigned" if column.unsigned else "")
    if kind in _TIMES:
        return _TIMES[kind] + (f"({size})" if size else "")
    match kind:
        case Type.NEWDECIMAL:
            return f"decimal({size},{column.scale})" + (" unsigned" if column.unsigned else "")
        case Type.VARCHAR:
            return f"varstring({size}) {column.collation}"
        case Type.STRING:
            return f"string({size}) {column.collation}"
        case Type.BLOB:
            return f"blob({size}) {column.collation}"
        case Type.BIT:
            return f"bit({size})"
        case Type.ENUM | Type.SET:
            labels = ",".join(f"'{_label(label, column.collation)}'" for label in column.labels)
            return f"{'enum' if kind is Type.ENUM else 'set'}({labels}) {column.collation}"
        case Type.GEOMETRY:
            return _GEOMETRIES[column.geometry] if column.geometry < len(_GEOMETRIES) else f"geometry {column.geometry}"
        case Type.VECTOR:
            return f"vector({column.dimension})"
        case _:
            return {Type.DATE: "date", Type.YEAR: "year", Type.JSON: "json"}[kind]


def _label(label: bytes, collation: int) -> str:
    text = label.decode("utf-8", "replace") if collation == BINARY else nearly(label, collation)
    return (label.hex() if text is None else text).translate(_ESCAPED)
