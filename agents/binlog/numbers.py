"""Numbers and times of a row image -> the text that MySQL shows for them. Pure.

Times are in the binary log as UTC, and their text is that of a session with time_zone='+00:00'.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime

from agents.binlog.layout import digits_bytes

_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")
_PLAIN_UNTIL = 15  # digits before the point, or zeros behind it, up to which MySQL writes no exponent
_NINE = 9


def integer(raw: bytes, *, unsigned: bool) -> str:
    return str(int.from_bytes(raw, "little", signed=not unsigned))


def double(raw: bytes) -> str:
    """Of a DOUBLE, or of a FLOAT as the DOUBLE that is exactly the same number."""
    (value,) = _DOUBLE.unpack(double_bits(raw))
    return spelled(value)


def double_bits(raw: bytes) -> bytes:
    """The DOUBLE that is exactly the FLOAT, or the DOUBLE itself; little-endian."""
    return raw if len(raw) == _DOUBLE.size else _DOUBLE.pack(*_FLOAT.unpack(raw))


def spelled(value: float) -> str:
    """The fewest digits that tell the number, as MySQL writes them: an exponent only from 1e15 and below 1e-15 on."""
    sign, digits, exponent = _parts(value)
    point = len(digits) + exponent  # where it stands, counted from the first digit
    if -_PLAIN_UNTIL < point <= _PLAIN_UNTIL:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}" if digits != "0" else f"{sign}0"
        whole = digits[:point].ljust(point, "0")
        return f"{sign}{whole}.{digits[point:]}" if digits[point:] else sign + whole
    mantissa = f"{digits[0]}.{digits[1:]}" if digits[1:] else digits
    return f"{sign}{mantissa}e{point - 1}"


def decimal(raw: bytes, precision: int, scale: int) -> str:
    """Digits in groups of nine, big-endian, the highest bit inverted; a negative number has all of them inverted."""
    negative = not raw[0] & 0x80
    flip = 0xFF if negative else 0
    data = bytes([raw[0] ^ 0x80 ^ flip]) + bytes(byte ^ flip for byte in raw[1:])
    whole_bytes = digits_bytes(precision - scale)
    whole = _groups(data[:whole_bytes], precision - scale, short_first=True).lstrip("0") or "0"
    fraction = _groups(data[whole_bytes:], scale, short_first=False)
    return ("-" if negative else "") + whole + (f".{fraction}" if scale else "")


def date(raw: bytes) -> str:
    packed = int.from_bytes(raw, "little")
    return f"{packed >> 9:04}-{packed >> 5 & 15:02}-{packed & 31:02}"


def year(raw: bytes) -> str:
    return str(1900 + raw[0]) if raw[0] else "0000"


def timestamp(raw: bytes, digits: int) -> str:
    seconds = int.from_bytes(raw[:4], "big")
    if not seconds and not any(raw[4:]):
        return "0000-00-00 00:00:00" + (f".{'0' * digits}" if digits else "")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") + _fraction(raw[4:], digits)


def datetime_text(raw: bytes, digits: int) -> str:
    packed = int.from_bytes(raw[:5], "big") - (1 << 39)
    return _datetime(packed) + _fraction(raw[5:], digits)


def time(raw: bytes, digits: int) -> str:
    """Hours, minutes, seconds in three bytes and what is behind the point in others: one number with an offset."""
    bits = 8 * len(raw)
    packed = int.from_bytes(raw, "big") - (1 << bits - 1)
    fraction_bytes = len(raw) - 3
    whole, rest = divmod(abs(packed), 1 << 8 * fraction_bytes)
    return ("-" if packed < 0 else "") + _clock(whole) + _fraction(rest.to_bytes(fraction_bytes, "big"), digits)


def packed_datetime(packed: int) -> str:
    """As JSON holds one: 24 bits of microseconds below what a DATETIME has."""
    return f"{_datetime(packed >> 24)}.{packed & 0xFFFFFF:06}"


def packed_date(packed: int) -> str:
    return _datetime(packed >> 24).partition(" ")[0]


def packed_time(packed: int) -> str:
    whole, microseconds = divmod(abs(packed), 1 << 24)
    return ("-" if packed < 0 else "") + f"{_clock(whole)}.{microseconds:06}"


def _parts(value: float) -> tuple[str, str, int]:
    """Sign, digits without zeros at either end, and the exponent of the last digit."""
    mantissa, _, exponent = f"{value!r}".lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0") or "0"
    stripped = digits.rstrip("0") or "0"
    shift = len(digits) - len(stripped) if stripped != "0" else 0
    return "-" if f"{value!r}".startswith("-") else "", stripped, int(exponent or 0) - len(fraction) + shift


def _groups(data: bytes, digits: int, *, short_first: bool) -> str:
    """The digits of one side of the point: of the group that is not full, the first or the last, fewer bytes."""
    full, short = divmod(digits, _NINE)
    sizes = [_NINE] * full
    if short:
        sizes.insert(0 if short_first else full, short)
    text, at = "", 0
    for size in sizes:
        end = at + digits_bytes(size)
        text += f"{int.from_bytes(data[at:end], 'big'):0{size}}"
        at = end
    return text


def _datetime(packed: int) -> str:
    months, day = packed >> 22, packed >> 17 & 31
    return f"{months // 13:04}-{months % 13:02}-{day:02} {_clock(packed & 0x1FFFF)}"


def _clock(packed: int) -> str:
    return f"{packed >> 12 & 1023:02}:{packed >> 6 & 63:02}:{packed & 63:02}"


def _fraction(raw: bytes, digits: int) -> str:
    """Hundredths, ten-thousandths or millionths, of which an odd count of digits shows one less."""
    if not digits:
        return ""
    return f".{int.from_bytes(raw, 'big'):0{2 * len(raw)}}"[: digits + 1]
