"""TABLE_MAP: what a ROWS event says of the table it changes, with the names and types of its columns. Pure.

Names, labels and the primary key are there with binlog_row_metadata=FULL only, on which preflight insists; a session
cannot change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from itertools import count, islice
from typing import TypeVar

from agents.binlog.fields import Fields, Unreadable

T = TypeVar("T")
BINARY = 63  # the collation of bytes


class Type(IntEnum):
    """Type codes of columns, as they are in the binary log."""

    TINY = 1
    SHORT = 2
    LONG = 3
    FLOAT = 4
    DOUBLE = 5
    LONGLONG = 8
    INT24 = 9
    DATE = 10
    YEAR = 13
    VARCHAR = 15
    BIT = 16
    TIMESTAMP2 = 17
    DATETIME2 = 18
    TIME2 = 19
    VECTOR = 242
    JSON = 245
    NEWDECIMAL = 246
    ENUM = 247  # in a map these two stand behind STRING
    SET = 248
    BLOB = 252
    STRING = 254
    GEOMETRY = 255


_METADATA_BYTES = {
    Type.FLOAT: 1, Type.DOUBLE: 1, Type.VARCHAR: 2, Type.BIT: 2, Type.TIMESTAMP2: 1, Type.DATETIME2: 1, Type.TIME2: 1,
    Type.VECTOR: 1, Type.JSON: 1, Type.NEWDECIMAL: 2, Type.BLOB: 1, Type.STRING: 2, Type.GEOMETRY: 1,
}  # fmt: skip
_NUMERIC = {
    Type.TINY, Type.SHORT, Type.INT24, Type.LONG, Type.LONGLONG, Type.FLOAT, Type.DOUBLE, Type.NEWDECIMAL, Type.YEAR
}  # fmt: skip
_CHARACTER = {Type.VARCHAR, Type.STRING, Type.BLOB, Type.VECTOR}
_LABELLED = {Type.ENUM, Type.SET}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Of `size` and `scale`, each type uses what it has.

    `size`: most bytes of a string or of an ENUM or SET, bytes of a BLOB's length, bits of a BIT, digits of a DECIMAL,
    digits behind the second of a time. `scale`: digits behind the point of a DECIMAL.
    """

    name: str
    type: Type
    size: int
    scale: int
    nullable: bool
    unsigned: bool = False
    collation: int = 0  # MySQL's number; of text, bytes, ENUM and SET
    labels: tuple[bytes, ...] = ()  # of an ENUM or SET, in its own character set
    geometry: int = 0  # the number of the geometry type, 0 is any
    dimension: int = 0  # most numbers in a VECTOR
    visible: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One table as a map describes it. `named` says whether names and key were there (binlog_row_metadata=FULL)."""

    number: int  # as the ROWS events name it
    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[int, ...]  # places of the primary key's columns in its own order; empty without one
    key_of_parts: bool  # the key holds only the beginning of one of its columns
    named: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@lru_cache(maxsize=256)
def table(body: bytes) -> Table:
    """Of the body of a TABLE_MAP event. Raises Unreadable, also for a type that is not known here."""
    fields = Fields(body)
    number = fields.number(6)
    fields.number(2)
    schema, name = _name(fields), _name(fields)
    codes = fields.take(fields.packed())
    if not codes:
        raise Unreadable(f"a map of {schema}.{name} without columns")
    metadata = Fields(fields.string())
    columns = [_column(code, metadata) for code in codes]
    nulls = int.from_bytes(fields.take((len(codes) + 7) // 8), "little")
    columns = [replace(column, nullable=bool(nulls >> n & 1)) for n, column in enumerate(columns)]
    optional = _optional(fields)
    return Table(
        number,
        schema,
        name,
        _described(columns, optional),
        _key(optional),
        key_of_parts=_PREFIX_KEY in optional,
        named=_NAMES in optional,
    )


_SIGNEDNESS, _DEFAULT_COLLATION, _COLLATIONS, _NAMES, _SET_LABELS, _ENUM_LABELS, _GEOMETRIES = range(1, 8)
_KEY, _PREFIX_KEY, _DEFAULT_LABEL_COLLATION, _LABEL_COLLATIONS, _VISIBILITY, _DIMENSIONS = range(8, 14)


def _name(fields: Fields) -> str:
    name = fields.take(fields.number(1)).decode(errors="replace")
    fields.number(1)  # the zero behind it
    return name


def _column(code: int, metadata: Fields) -> Column:
    try:
        kind = Type(code)
    except ValueError:
        raise Unreadable(f"a column of type {code}, which is not known here") from None
    meta = metadata.take(_METADATA_BYTES.get(kind, 0))
    size, scale = (meta[0] if meta else 0), 0
    match kind:
        case Type.VARCHAR:
            size = int.from_bytes(meta, "little")
        case Type.BIT:
            size = meta[1] * 8 + meta[0]
        case Type.NEWDECIMAL:
            size, scale = meta
        case Type.STRING if meta[0] in _LABELLED:
            kind, size = Type(meta[0]), meta[1]
        case Type.STRING:
            size = (meta[0] & 0x30 ^ 0x30) << 4 | meta[1]
    return Column("", kind, size, scale, nullable=False)


def _optional(fields: Fields) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while fields:
        kind = fields.number(1)
        found[kind] = fields.string()
    return found


def _described(columns: Sequence[Column], optional: dict[int, bytes]) -> tuple[Column, ...]:
    """The columns with what the optional part says of those that each of its fields concerns, in their order."""
    every = frozenset(Type)
    kinds = [column.type for column in columns]
    names = _spread(_strings(optional.get(_NAMES)), kinds, every, b"")
    visible = _spread(_bits(optional.get(_VISIBILITY)), kinds, every, True)
    unsigned = _spread(_bits(optional.get(_SIGNEDNESS)), kinds, _NUMERIC, False)
    collation = _spread(_collations(optional, _DEFAULT_COLLATION, _COLLATIONS), kinds, _CHARACTER, 0)
    of_labels = _spread(_collations(optional, _DEFAULT_LABEL_COLLATION, _LABEL_COLLATIONS), kinds, _LABELLED, 0)
    enum = _spread(_label_lists(optional.get(_ENUM_LABELS)), kinds, {Type.ENUM}, ())
    of_set = _spread(_label_lists(optional.get(_SET_LABELS)), kinds, {Type.SET}, ())
    geometry = _spread(_numbers(optional.get(_GEOMETRIES)), kinds, {Type.GEOMETRY}, 0)
    dimension = _spread(_numbers(optional.get(_DIMENSIONS)), kinds, {Type.VECTOR}, 0)
    return tuple(
        replace(
            column,
            name=names[n].decode(errors="replace"),
            visible=visible[n],
            unsigned=unsigned[n],
            collation=collation[n] or of_labels[n],
            labels=enum[n] or of_set[n],
            geometry=geometry[n],
            dimension=dimension[n],
        )
        for n, column in enumerate(columns)
    )


def _spread(values: Iterator[T], kinds: Sequence[Type], concerned: Set[Type], otherwise: T) -> list[T]:
    """One value per column: the next one for a column of a type that is concerned, as long as there are any."""
    return [next(values, otherwise) if kind in concerned else otherwise for kind in kinds]


def _key(optional: dict[int, bytes]) -> tuple[int, ...]:
    if _PREFIX_KEY in optional:
        return tuple(islice(_numbers(optional[_PREFIX_KEY]), 0, None, 2))  # after each column, how much of it
    return tuple(_numbers(optional.get(_KEY)))


def _bits(data: bytes | None) -> Iterator[bool]:
    """The highest bit of the first byte first."""
    return (bool(byte >> bit & 1) for byte in data or b"" for bit in range(7, -1, -1))


def _numbers(data: bytes | None) -> Iterator[int]:
    fields = Fields(data or b"")
    while fields:
        yield fields.packed()


def _strings(data: bytes | None) -> Iterator[bytes]:
    fields = Fields(data or b"")
    while fields:
        yield fields.string()


def _label_lists(data: bytes | None) -> Iterator[tuple[bytes, ...]]:
    fields = Fields(data or b"")
    while fields:
        yield tuple(fields.string() for _ in range(fields.packed()))


def _collations(optional: dict[int, bytes], default: int, each: int) -> Iterator[int]:
    """One per column that has one: listed, or a default and the columns that differ, which are counted among them."""
    if default not in optional:
        return _numbers(optional.get(each))
    numbers = _numbers(optional[default])
    first, others = next(numbers, 0), list(numbers)
    other = dict(zip(others[::2], others[1::2], strict=False))
    return (other.get(n, first) for n in count())
