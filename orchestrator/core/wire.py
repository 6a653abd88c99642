"""Values to and from the bytes that ZooKeeper holds. Every record carries its format; an unknown one is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from orchestrator.core.errors import Refused

FORMAT = 1
Value = TypeVar("Value")


class WireWrong(Refused):
    """Bytes that are no record of the expected kind: the message names the field, the value and what was expected."""


def encode(value: object) -> bytes:
    """One line of JSON with the format first."""
    return json.dumps({"format": FORMAT, **plain(value)}, separators=(",", ":")).encode()


def decode(kind: type[Value], data: bytes) -> Value:
    """The record in `data`. Raises WireWrong.

    Unknown fields are ignored and missing ones take their default, so that neighbouring versions understand each other;
    a change that this cannot carry needs a new format number.
    """
    try:
        plain = json.loads(data)
    except ValueError as error:
        raise WireWrong(f"{kind.__name__}: not JSON ({error})") from None
    if not isinstance(plain, dict):
        raise WireWrong(f"{kind.__name__}: expected an object, got {type(plain).__name__}")
    if plain.get("format") != FORMAT:
        raise WireWrong(
            f"{kind.__name__}: format {plain.get('format')!r}, this version reads {FORMAT}: upgrade the older side"
        )
    value: Value = _typed(kind, plain, kind.__name__)
    return value


def plain(value: object) -> Any:
    """The JSON shape of a value, without the format: what API and CLI show."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _typed(kind: Any, plain: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return None if plain is None else _typed(_only_type(kind), plain, where)
    if origin is tuple:
        item = get_args(kind)[0]
        return tuple(_typed(item, one, f"{where}[{i}]") for i, one in enumerate(_a(list, plain, where)))
    if origin is Mapping:
        item = get_args(kind)[1]
        return {key: _typed(item, one, f"{where}.{key}") for key, one in _a(dict, plain, where).items()}
    if is_dataclass(kind):
        return _record(kind, _a(dict, plain, where), where)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _member(kind, plain, where)
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return _float(plain, where)
    return _a(getattr(kind, "__supertype__", kind), plain, where)


def _float(plain: int, where: str) -> float:
    try:
        return float(plain)
    except OverflowError:
        raise WireWrong(f"{where}: expected float, got a number of {plain.bit_length()} bits") from None


def _only_type(kind: Any) -> Any:
    return next(one for one in get_args(kind) if one is not NoneType)


def _record(kind: Any, plain: Mapping[str, Any], where: str) -> Any:
    hints = _hints(kind)
    given = {name: _typed(hints[name], plain[name], f"{where}.{name}") for name in hints if name in plain}
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:  # a missing field, or values that contradict each other
        raise WireWrong(f"{where}: {error}") from None


def _member(kind: type[StrEnum], plain: Any, where: str) -> StrEnum:
    try:
        return kind(plain)
    except ValueError:
        raise WireWrong(f"{where}: {plain!r} is none of {', '.join(kind)}") from None


def _a(kind: Any, plain: Any, where: str) -> Any:
    if not isinstance(plain, kind) or (kind in (int, float) and isinstance(plain, bool)):
        raise WireWrong(f"{where}: expected {kind.__name__}, got {plain!r}")
    return plain
