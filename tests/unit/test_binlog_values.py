"""Values as MySQL shows them: what 9.7.4 printed for these bytes. Every type against a server: contract/test_images."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.binlog.charsets import charset, decoded
from agents.binlog.fields import Unreadable
from agents.binlog.images import Image
from agents.binlog.jsontext import json_text
from agents.binlog.numbers import spelled
from agents.binlog.table import BINARY, Column, Table, Type
from agents.binlog.values import Value, compared, comparison, condition, shown

LATIN1, UTF8MB4 = 8, 255


def column(kind: Type, size: int = 0, scale: int = 0, **more: object) -> Column:
    return Column("c", kind, size, scale, nullable=True, **more)  # type: ignore[arg-type]


SHOWN: list[tuple[Column, str, Value]] = [
    (column(Type.TINY), "80", "-128"),
    (column(Type.TINY, unsigned=True), "80", "128"),
    (column(Type.FLOAT, 4), "cdcc8c3f", "1.100000023841858"),
    (column(Type.NEWDECIMAL, 10, 3), "800000010 1f4".replace(" ", ""), "1.500"),
    (column(Type.NEWDECIMAL, 10, 3), "7ffffffefe0b", "-1.500"),
    (column(Type.NEWDECIMAL, 5, 5), "803039", "0.12345"),
    (column(Type.DATE), "000000", "0000-00-00"),
    (column(Type.DATE), "5dd00f", "2024-02-29"),
    (column(Type.YEAR), "00", "0000"),
    (column(Type.YEAR), "64", "2000"),
    (column(Type.TIMESTAMP2, 6), "00" * 7, "0000-00-00 00:00:00.000000"),
    (column(Type.TIMESTAMP2, 1), "65e07ec05a", "2024-02-29 12:55:28.9"),
    (column(Type.DATETIME2), "8000000000", "0000-00-00 00:00:00"),
    (column(Type.TIME2, 3), "7f5d33ec78", "-10:11:12.500"),
    (column(Type.BIT, 9), "0101", "257"),
    (column(Type.ENUM, 1, collation=LATIN1, labels=(b"a", b"\xe9")), "02", "\u00e9"),
    (column(Type.ENUM, 1, collation=LATIN1, labels=(b"a",)), "00", ""),
    (column(Type.SET, 1, collation=LATIN1, labels=(b"x", b"y", b"\x80")), "05", "x,\u20ac"),
    (column(Type.STRING, 4, collation=BINARY), "6465", b"de\0\0"),
    (column(Type.VARCHAR, 10, collation=LATIN1), "80e981", "\u20ac\u00e9\x81"),
    (column(Type.VARCHAR, 10, collation=28), "d6d0", b"\xd6\xd0"),  # gbk
    (column(Type.BLOB, 2, collation=UTF8MB4), "ff", b"\xff"),  # text that is none
    (column(Type.GEOMETRY, 4), "00", b"\0"),
]


@pytest.mark.parametrize(("one", "raw", "value"), SHOWN)
def test_a_value_is_shown_as_mysql_shows_it(one: Column, raw: str, value: Value) -> None:
    assert shown(one, bytes.fromhex(raw)) == value


NUMBERS = {
    "1e15": 1e15, "100000000000000": 1e14, "0.000000000000001": 1e-15, "1e-16": 1e-16, "0.1": 0.1, "0": 0.0, "-0": -0.0,
    "-1.7976931348623157e308": -1.7976931348623157e308, "5e-324": 5e-324,
    "1.2345678901234568e17": 1.2345678901234568e17,
    "1.5e16": 1.5e16, "3": 3.0, "-2.5": -2.5,
}  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_spelled_as_mysql_spells_it(text: str) -> None:
    assert spelled(NUMBERS[text]) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_digits_of_a_number_are_all_that_tell_it(value: float) -> None:
    assert struct.pack("<d", float(spelled(value))) == struct.pack("<d", value)


JSON = {
    "": "null",
    "0400": "null",
    "050100": "1",
    "0b000000000000f03f": "1.0",
    "0c05610a22085c": '"a\\n\\"\\b\\\\"',
    "000100 0c00 0b00 0100 05 0100 78".replace(" ", ""): '{"x": 1}',
    "0ffc02ffff": '"base64:type252://8="',
}


@pytest.mark.parametrize("data", JSON)
def test_json_is_printed_as_mysql_prints_it(data: str) -> None:
    assert json_text(bytes.fromhex(data)) == JSON[data]


@given(st.binary(max_size=60))
def test_bytes_that_are_no_json_are_refused_or_read(data: bytes) -> None:
    try:
        assert json_text(data)
    except Unreadable:
        return


KINDS = st.builds(
    column,
    st.sampled_from(Type),
    st.integers(0, 8),
    st.just(0),
    collation=st.sampled_from([0, BINARY, LATIN1, UTF8MB4, 28]),
    labels=st.sampled_from([(), (b"a", b"")]),
)


@given(KINDS, st.binary(max_size=20))
def test_bytes_that_are_no_value_are_refused_or_read(one: Column, raw: bytes) -> None:
    for read in (shown, compared):
        try:
            read(one, raw)
        except Unreadable:
            continue
    assert comparison(one)


def test_null_differs_from_every_text() -> None:
    text = column(Type.VARCHAR, 10, collation=LATIN1)
    assert compared(text, None) == b"N" != compared(text, b"N")


@pytest.mark.parametrize(
    ("one", "raw", "sql"),
    [
        (column(Type.LONG), b"\xff\xff\xff\xff", "`c` = -1"),
        (column(Type.VARCHAR, 10, collation=LATIN1), b"'\xe9", "`c` = _latin1 x'27e9'"),
        (column(Type.STRING, 3, collation=BINARY), b"a", "`c` = _binary x'610000'"),
        (column(Type.ENUM, 1, collation=LATIN1, labels=(b"a", b"b")), b"\x02", "`c` = _latin1 x'62'"),
        (column(Type.ENUM, 1, collation=LATIN1, labels=(b"a", b"")), b"\x02", "CAST(`c` AS UNSIGNED) = 2"),
        (column(Type.SET, 1, collation=54, labels=(b"\0a", b"\0b")), b"\x03", "CAST(`c` AS UNSIGNED) = 3"),
        (column(Type.DOUBLE, 8), bytes(8), None),
        (column(Type.JSON, 4), b"", None),
    ],
)
def test_a_row_is_found_by_a_literal_of_its_own_characters(one: Column, raw: bytes, sql: str | None) -> None:
    assert condition(one, raw) == sql


def test_a_key_in_part_finds_nothing_for_certain() -> None:
    whole = Table(1, "s", "t", (column(Type.LONG),), (0,), key_of_parts=False, named=True)
    part = Table(1, "s", "t", (column(Type.LONG),), (0,), key_of_parts=True, named=True)
    raw = (bytes(4),)
    assert (Image(whole, raw).condition(), Image(part, raw).condition()) == ("`c` = 0", None)


def test_character_sets_have_every_number_once() -> None:
    assert charset(BINARY) == "binary" and charset(255) == "utf8mb4" and charset(1000) == ""
    assert decoded(b"\xe2\x82\xac", 255) == "\u20ac" and decoded(b"\xff", 255) is None and decoded(b"a", 28) is None
