"""MySQL's binary JSON -> its text as MySQL prints it, so that hashes of both sides agree. Pure.

An object or array is a count, its size, entries of its keys, entries of its values, and what these point to, counted
from its beginning. Numbers of two bytes in a small one and of four in a large one; small values stand in their entry.
"""

from __future__ import annotations

import struct
from base64 import b64encode

from agents.binlog.fields import Unreadable
from agents.binlog.numbers import decimal, packed_date, packed_datetime, packed_time, spelled

_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL = range(5)
_DOUBLE, _STRING, _OPAQUE = 0x0B, 0x0C, 0x0F
_INTEGERS = {5: "<h", 6: "<H", 7: "<i", 8: "<I", 9: "<q", 10: "<Q"}
_LITERALS = ("null", "true", "false")
_NEWDECIMAL, _TIMES = 246, {7: packed_datetime, 10: packed_date, 11: packed_time, 12: packed_datetime}
_LINE = 76  # of base64, characters
_DEPTH = 100  # MySQL's own limit
_ESCAPED = {n: f"\\u{n:04x}" for n in range(32)} | {
    ord(char): f"\\{mark}" for char, mark in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)
}


def json_text(data: bytes) -> str:
    """The text of one document. Raises Unreadable."""
    if not data:
        return "null"  # what MySQL itself makes of an empty one
    try:
        return _value(data[0], data, 1, 0)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Unreadable(f"JSON that cannot be read: {error}") from error


def _value(kind: int, data: bytes, at: int, depth: int) -> str:
    if kind <= _LARGE_ARRAY:
        return _container(kind, data[at:], depth + 1)
    if kind == _LITERAL:
        return _LITERALS[data[at]]
    if kind in _INTEGERS:
        return str(struct.unpack_from(_INTEGERS[kind], data, at)[0])
    if kind == _DOUBLE:
        text = spelled(struct.unpack_from("<d", data, at)[0])
        return text if "." in text or "e" in text else f"{text}.0"
    if kind == _STRING:
        return _quoted(_sized(data, at).decode())
    if kind == _OPAQUE:
        return _opaque(data[at], _sized(data, at + 1))
    raise Unreadable(f"a JSON value of type {kind}")


def _container(kind: int, data: bytes, depth: int) -> str:
    if depth > _DEPTH:
        raise Unreadable(f"JSON of more than {_DEPTH} levels")
    large = kind in (_LARGE_OBJECT, _LARGE_ARRAY)
    width, number = (4, "<I") if large else (2, "<H")
    (count,) = struct.unpack_from(number, data)
    is_object = kind in (_SMALL_OBJECT, _LARGE_OBJECT)
    keys_at = 2 * width
    values_at = keys_at + (count * (width + 2) if is_object else 0)
    inline = {_LITERAL, 5, 6} | ({7, 8} if large else set())
    parts = []
    for n in range(count):
        entry = values_at + n * (width + 1)
        held = data[entry]
        at = entry + 1 if held in inline else struct.unpack_from(number, data, entry + 1)[0]
        text = _value(held, data, at, depth)
        if is_object:
            begin, length = struct.unpack_from(number + "H", data, keys_at + n * (width + 2))
            text = f"{_quoted(data[begin : begin + length].decode())}: {text}"
        parts.append(text)
    return f"{{{', '.join(parts)}}}" if is_object else f"[{', '.join(parts)}]"


def _opaque(kind: int, data: bytes) -> str:
    """A value of a type that JSON does not have."""
    if kind == _NEWDECIMAL:
        return decimal(data[2:], data[0], data[1])
    if kind in _TIMES:
        return f'"{_TIMES[kind](struct.unpack("<q", data)[0])}"'
    encoded = b64encode(data).decode()
    lines = "\n".join(encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE))
    return _quoted(f"base64:type{kind}:{lines}")


def _sized(data: bytes, at: int) -> bytes:
    """Bytes behind their length, of which each byte has seven bits and one that says that more follow."""
    length = shift = 0
    while True:
        byte = data[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
    if at + length > len(data):
        raise Unreadable("a JSON string that ends behind its document")
    return data[at : at + length]


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPED)}"'
