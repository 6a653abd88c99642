"""Values of a row image: as text for people, as the text by which two servers are compared, and as SQL. Pure.

`shown` is what a session with utf8mb4, time_zone='+00:00' and sql_mode='' selects, but for FLOAT, which it rounds, and
for BIT, whose number is shown. `compared` is the text of `comparison(column)` on a server, byte for byte, so that a row
there and an image here are equal exactly if these are. All of it is held against a server by tests/contract.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Protocol

from agents.binlog import numbers
from agents.binlog.charsets import charset, decoded
from agents.binlog.fields import Unreadable
from agents.binlog.jsontext import json_text
from agents.binlog.table import BINARY, Column, Type

Value = str | bytes | None  # text; bytes where the column holds bytes, or text that cannot be decoded; NULL
NULL = b"N"
_INTEGERS = frozenset({Type.TINY, Type.SHORT, Type.INT24, Type.LONG, Type.LONGLONG})
_STRINGS = frozenset({Type.VARCHAR, Type.STRING})
_WIDE = frozenset({"ucs2", "utf16", "utf16le", "utf32"})  # whose comma is not one byte
_HASHED = frozenset({Type.BLOB, Type.JSON, Type.GEOMETRY, Type.VECTOR})


def shown(column: Column, raw: bytes | None) -> Value:
    """The value of `column` that an image holds as `raw`. Raises Unreadable."""
    if raw is None:
        return None
    try:
        return _shown(column, raw)
    except (struct.error, IndexError, ValueError) as error:
        raise Unreadable(f"a value of {column.name} that cannot be read: {error}") from error


def compared(column: Column, raw: bytes | None) -> bytes:
    """What `comparison` of the column selects where a row holds this value. Raises Unreadable."""
    if raw is None:
        return NULL
    try:
        return _compared(column, raw)
    except (struct.error, IndexError, ValueError) as error:
        raise Unreadable(f"a value of {column.name} that cannot be read: {error}") from error


def comparison(column: Column) -> str:
    """SQL of one value in the comparison of rows.

    A FLOAT's own text has six digits only, and in a text a sum is cut to 22 characters, so that two values of DOUBLE
    become one (measured): as a coordinate each shows its bits.
    """
    name = quoted(column.name)
    match column.type:
        case Type.FLOAT | Type.DOUBLE:
            value = f"SUBSTR(HEX(POINT({name}, 0)), 19, 16)"
        case Type.ENUM | Type.SET:
            value = f"CAST({name} AS UNSIGNED)"  # a sum is a DOUBLE, in which SETs of more than 53 labels become equal
        case Type.BIT:
            value = f"HEX({name})"
        case Type.VARCHAR | Type.STRING:
            value = f"CONCAT(LENGTH({name}), ':', CAST({name} AS BINARY))"
        case kind if kind in _HASHED:
            value = f"SHA2({name}, 256)"
        case _:
            value = _unfilled(column)
    return f"COALESCE({value}, 'N')"


def reading(column: Column) -> str:
    """SQL of one value as `shown` shows it, in a form that tells NULL from the empty text: for `told`."""
    name = quoted(column.name)
    match column.type:
        case Type.GEOMETRY | Type.VECTOR:
            value = f"CONCAT('0x', LOWER(HEX({name})))"
        case Type.VARCHAR | Type.STRING | Type.BLOB if column.collation == BINARY or not charset(column.collation):
            value = f"CONCAT('0x', LOWER(HEX({name})))"
        case Type.BIT:
            value = f"{name} + 0"
        case Type.FLOAT:
            value = f"{name} + 0E0"
        case _:
            value = _unfilled(column)
    return f"IF({name} IS NULL, '', CONCAT('=', CAST({value} AS CHAR)))"


def _unfilled(column: Column) -> str:
    """Of a column with ZEROFILL, which is unsigned, the server shows zeros that are no part of the value."""
    number = column.type in _INTEGERS or column.type is Type.NEWDECIMAL
    return f"ABS({quoted(column.name)})" if number and column.unsigned else quoted(column.name)


def told(text: str) -> str | None:
    """What `reading` has read."""
    return text[1:] if text else None


def condition(column: Column, raw: bytes) -> str | None:
    """SQL that finds rows with this value of a key column; None for a type that equality does not find for certain."""
    name = quoted(column.name)
    match column.type:
        case kind if kind in _INTEGERS or kind in (Type.NEWDECIMAL, Type.YEAR):
            return f"{name} = {_plain(column, raw)}"
        case Type.DATE | Type.TIME2 | Type.DATETIME2 | Type.TIMESTAMP2:
            return f"{name} = '{_plain(column, raw)}'"
        case Type.ENUM | Type.SET:
            return _label_condition(column, int.from_bytes(raw, "little"))
        case Type.BIT:
            return f"{name} + 0 = {int.from_bytes(raw, 'big')}"
        case kind if (kind in _STRINGS or kind is Type.BLOB) and charset(column.collation):
            return f"{name} = _{charset(column.collation)} x'{_padded(column, raw).hex()}'"
        case _:
            return None


class Named(Protocol):
    """A table, whatever else is known of it."""

    @property
    def schema(self) -> str: ...

    @property
    def name(self) -> str: ...


def qualified(table: Named) -> str:
    """As SQL names it."""
    return f"{quoted(table.schema)}.{quoted(table.name)}"


def quoted(name: str) -> str:
    """An identifier as SQL takes it, whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


def _compared(column: Column, raw: bytes) -> bytes:
    match column.type:
        case Type.FLOAT | Type.DOUBLE:
            return numbers.double_bits(raw).hex().upper().encode()
        case Type.ENUM | Type.SET:
            return str(int.from_bytes(raw, "little")).encode()
        case Type.BIT:
            return f"{int.from_bytes(raw, 'big'):X}".encode()
        case Type.VARCHAR | Type.STRING:
            whole = _padded(column, raw)
            return str(len(whole)).encode() + b":" + whole
        case Type.JSON:
            return _hashed(json_text(raw).encode())
        case Type.BLOB | Type.GEOMETRY | Type.VECTOR:
            return _hashed(raw)
        case _:
            return _plain(column, raw).encode()


def _hashed(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _shown(column: Column, raw: bytes) -> str | bytes:
    match column.type:
        case Type.ENUM | Type.SET:
            return _labelled(column, int.from_bytes(raw, "little"))
        case Type.VARCHAR | Type.STRING | Type.BLOB:
            return _text(_padded(column, raw), column.collation)
        case Type.GEOMETRY | Type.VECTOR:
            return raw
        case _:
            return _plain(column, raw)


def _plain(column: Column, raw: bytes) -> str:
    """Of the types whose text has nothing to do with a character set."""
    size = column.size
    match column.type:
        case Type.FLOAT | Type.DOUBLE:
            return numbers.double(raw)
        case Type.NEWDECIMAL:
            return numbers.decimal(raw, size, column.scale)
        case Type.DATE:
            return numbers.date(raw)
        case Type.YEAR:
            return numbers.year(raw)
        case Type.TIMESTAMP2:
            return numbers.timestamp(raw, size)
        case Type.DATETIME2:
            return numbers.datetime_text(raw, size)
        case Type.TIME2:
            return numbers.time(raw, size)
        case Type.BIT:
            return str(int.from_bytes(raw, "big"))
        case Type.JSON:
            return json_text(raw)
        case _:
            return numbers.integer(raw, unsigned=column.unsigned)


def _label_condition(column: Column, number: int) -> str:
    """By the label, which an index finds; by the number where the empty text or wide characters make that unsure."""
    name, labels = quoted(column.name), column.labels
    text = labels[number - 1] if column.type is Type.ENUM and number else b",".join(_chosen(column, number))
    if b"" in labels or not text or charset(column.collation) in _WIDE or not charset(column.collation):
        return f"CAST({name} AS UNSIGNED) = {number}"
    return f"{name} = _{charset(column.collation)} x'{text.hex()}'"


def _chosen(column: Column, number: int) -> list[bytes]:
    """The labels of a SET whose bits the number has."""
    return [label for n, label in enumerate(column.labels) if number >> n & 1]


def _labelled(column: Column, number: int) -> str | bytes:
    """The label of that number, or of each bit of it, which commas separate; what no label has is the empty text."""
    if column.type is Type.ENUM:
        return _text(column.labels[number - 1], column.collation) if number else ""
    chosen = _chosen(column, number)
    texts = [text for label in chosen if isinstance(text := _text(label, column.collation), str)]
    return ",".join(texts) if len(texts) == len(chosen) else b",".join(chosen)


def _text(raw: bytes, collation: int) -> str | bytes:
    text = None if collation == BINARY else decoded(raw, collation)
    return raw if text is None else text


def _padded(column: Column, raw: bytes) -> bytes:
    """A BINARY stands in the log without the zeros at its end."""
    is_binary = column.type is Type.STRING and column.collation == BINARY
    return raw.ljust(column.size, b"\0") if is_binary else raw
