"""Values to and from the bytes that ZooKeeper holds. Every record carries its format; an unknown one is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from orchestrator.core.errors import Refused

FORMAT = 1
SIZE_MAX = 256 * 1024  # bytes; ZooKeeper itself takes about 1 MiB, several records in one write included
NUMBER_MAX = 2**63 - 1
SHOWN_MAX = 60  # characters of a wrong value
Value = TypeVar("Value")
Read = Callable[[Any, str], Any]  # a value of JSON, and where it stands in the record -> the typed value
_AS_IT_IS = frozenset({str, int, float, bool, NoneType})
_ONE_LINE = json.JSONEncoder(separators=(",", ":"))


class WireWrong(Refused):
    """Bytes that are no record of the expected kind: the message names the field, the value and what was expected."""


def encode(value: object) -> bytes:
    """One line of JSON with the format first."""
    return _ONE_LINE.encode({"format": FORMAT, **plain(value)}).encode()


def decode(kind: type[Value], data: bytes) -> Value:
    """The record in `data`. Raises WireWrong.

    Unknown fields are ignored and missing ones take their default, so that neighbouring versions understand each other;
    a change that this cannot carry needs a new format number.
    """
    if len(data) > SIZE_MAX:
        raise WireWrong(f"{kind.__name__}: {len(data)} bytes, expected {SIZE_MAX} at most")
    try:
        plain = json.loads(data.decode())  # loads itself would take UTF-16 too, and halves of characters
        if b"\\ud" in data.lower():  # half of a character, which can be kept and never shown
            json.dumps(plain, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise WireWrong(f"{kind.__name__}: not JSON ({error}): {_shown(data)}") from None
    if not isinstance(plain, dict):
        raise WireWrong(f"{kind.__name__}: expected an object, got {type(plain).__name__}")
    if type(plain.get("format")) is not int or plain["format"] != FORMAT:
        raise WireWrong(
            f"{kind.__name__}: format {_shown(plain.get('format'))}, this version reads {FORMAT}: "
            "upgrade the older side"
        )
    read: Callable[[Any, str], Value] = _reader(cast(Any, kind))
    return read(plain, kind.__name__)


def plain(value: object) -> Any:
    """The JSON shape of a value, without the format: what API and CLI show."""
    kind: Any = type(value)
    if kind in _AS_IT_IS:
        return value
    names = _field_names(kind)
    if names is not None:
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


@cache
def _field_names(kind: type) -> tuple[str, ...] | None:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None


@cache
def _reader(kind: Any) -> Read:
    """How a value of that type is read. Types are looked at once: a lease is read and written many times a second."""
    origin = get_origin(kind)
    if origin is Annotated:
        text, parse = get_args(kind)
        return _parsed(_reader(text), parse)
    if origin in (Union, UnionType):
        return _optional(_reader(_only_type(kind)))
    if origin is tuple:
        return _items(_reader(get_args(kind)[0]))
    if origin is Mapping:
        return _mapping(_reader(get_args(kind)[1]))
    if is_dataclass(kind):
        return _record(kind)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _member(kind)
    return _number(kind) if kind in (int, float) else _scalar(getattr(kind, "__supertype__", kind))


def _only_type(kind: Any) -> Any:
    return next(one for one in get_args(kind) if one is not NoneType)


def _optional(read: Read) -> Read:
    return lambda plain, where: None if plain is None else read(plain, where)


def _items(read: Read) -> Read:
    def items(plain: Any, where: str) -> tuple[Any, ...]:
        return tuple(read(one, f"{where}[{i}]") for i, one in enumerate(_a(list, plain, where)))

    return items


def _mapping(read: Read) -> Read:
    def mapping(plain: Any, where: str) -> Mapping[str, Any]:
        return {key: read(item, f"{where}.{key}") for key, item in _a(dict, plain, where).items()}

    return mapping


def _record(kind: Any) -> Read:
    readers = {name: _reader(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}

    def record(plain: Any, where: str) -> Any:
        given = _a(dict, plain, where)
        typed = {name: read(given[name], f"{where}.{name}") for name, read in readers.items() if name in given}
        try:
            return kind(**typed)
        except (TypeError, ValueError) as error:  # a missing field, or values that contradict each other
            raise WireWrong(f"{where}: {error}") from None

    return record


def _member(kind: type[StrEnum]) -> Read:
    def member(plain: Any, where: str) -> StrEnum:
        try:
            return kind(plain)
        except ValueError:
            raise WireWrong(f"{where}: {_shown(plain)} is none of {', '.join(kind)}") from None

    return member


def _scalar(kind: Any) -> Read:
    return lambda plain, where: _a(kind, plain, where)


def _parsed(read: Read, parse: Callable[[str], object]) -> Read:
    """Text that stays text, and of which `parse` must be able to make what it stands for."""

    def parsed(plain: Any, where: str) -> Any:
        text = read(plain, where)
        try:
            parse(text)
        except ValueError as error:
            raise WireWrong(f"{where}: {str(error)[: 2 * SHOWN_MAX]}") from None
        return text

    return parsed


def _number(kind: Any) -> Read:
    """Whole numbers pass as float; none that is not finite, or of more than 64 bits, may reach a comparison."""

    def number(plain: Any, where: str) -> Any:
        whole = isinstance(plain, int) and not isinstance(plain, bool)
        found = _a(int if whole else kind, plain, where)
        if whole and abs(found) > NUMBER_MAX:
            raise WireWrong(f"{where}: expected {kind.__name__}, got {_shown(found)}")
        if not isfinite(found):
            raise WireWrong(f"{where}: expected a finite number, got {found}")
        return kind(found)

    return number


def _a(kind: Any, plain: Any, where: str) -> Any:
    if type(plain) is not kind and (not isinstance(plain, kind) or isinstance(plain, bool)):
        raise WireWrong(f"{where}: expected {kind.__name__}, got {_shown(plain)}")
    return plain


def _shown(value: Any) -> str:
    """The value as far as a line of a message has room for it."""
    if isinstance(value, list | dict):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, int) and abs(value) > NUMBER_MAX:
        return f"a number of {value.bit_length()} bits"
    text = repr(value[:SHOWN_MAX] if isinstance(value, str | bytes) else value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."
